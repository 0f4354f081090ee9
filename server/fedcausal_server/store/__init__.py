"""What a coordinator must not lose: journal, session, backup."""
