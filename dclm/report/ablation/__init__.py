"""The effect of each step of a pipeline."""
