"""Filters that look at a page's URL alone."""
