"""Embeddings of documents, and decisions based on them."""
