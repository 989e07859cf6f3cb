"""Readers of web archives: WARC, ARC, and what is in their records."""
