"""Experiments: a grid of recipes, scales, budgets and seeds, evaluated on one held-out text."""
