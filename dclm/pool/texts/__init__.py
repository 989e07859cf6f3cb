"""Readers of documents that already are text: JSON lines, CSV, Parquet."""
