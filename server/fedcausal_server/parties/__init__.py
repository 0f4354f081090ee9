"""Who may take part: enrolment, certificates, and their end."""
