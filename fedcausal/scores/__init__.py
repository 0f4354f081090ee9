"""Scores and tests of independence, from a Gram, from tables, and through noise."""
