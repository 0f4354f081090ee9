"""What a site's operator types."""
