"""Near-duplicate detection by MinHash and locality-sensitive hashing."""
