"""The command groups of the core, one module each."""
