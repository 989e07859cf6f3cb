"""What a deduplication step needs to know of another corpus, kept as an artifact."""
