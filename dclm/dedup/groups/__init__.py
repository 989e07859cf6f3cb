"""Clusters of duplicates: connected components and what is decided on them."""
