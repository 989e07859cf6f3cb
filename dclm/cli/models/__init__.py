"""Commands about tokens, models and their evaluation."""
