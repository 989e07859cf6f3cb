"""Both directions between dclm and lm-eval."""
