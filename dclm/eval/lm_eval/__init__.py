"""Integration of dclm and lm-eval, in both directions."""
