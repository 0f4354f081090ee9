"""Features of variables, their sums over records, and what is read off the sums."""
