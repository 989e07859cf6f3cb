"""Indexes of documents, against which other documents are deduplicated."""
