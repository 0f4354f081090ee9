"""Privacy of sums: masks, encryption, identities, mechanisms, budgets; nothing of causality."""
