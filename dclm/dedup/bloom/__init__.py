"""Bloom-filter deduplication of paragraphs and documents."""
