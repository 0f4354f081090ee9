"""Average effects of interventions, asked of a fitted causal model."""
