"""The causal model: mechanisms, their fit from sums, and the questions it answers."""
