"""The common look of every page and picture."""
