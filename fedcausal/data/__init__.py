"""Data of a site: read, infer and check a table against its schema."""
