"""Recipes: one experiment from pool to score."""
