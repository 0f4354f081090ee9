"""What a coordinator's operator types."""
