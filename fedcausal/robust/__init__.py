"""Sites that may lie: what no rows can give, whose sums lie apart, and what the others say."""
