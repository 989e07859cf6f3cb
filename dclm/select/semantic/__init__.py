"""Embeddings of documents, and what is decided by them."""
