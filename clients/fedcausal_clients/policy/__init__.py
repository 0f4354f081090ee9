"""What a site lets out: rules, consent, memory of releases, and all of it in words."""
