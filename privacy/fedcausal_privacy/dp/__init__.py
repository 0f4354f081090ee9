"""Differential privacy: events, what they cost, the ledger, noise, and private training."""
