"""Filters that use only a page's URL."""
