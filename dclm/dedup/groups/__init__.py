"""Clusters of duplicates: connected components and the decisions on them."""
