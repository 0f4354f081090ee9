"""What can leave a site: `registry` is the complete list, one module per kind."""
