"""Experiments: a grid of recipes, scales, budgets and seeds, measured on one held-out text."""
