"""Sums under an epsilon: bounds, clipping, what noise leaves, and what to expect."""
