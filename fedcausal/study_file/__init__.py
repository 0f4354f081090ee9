"""What a study file may say: its sections, their checks, and errors that name file and key."""
