"""Indexes of other corpora that deduplication steps look documents up in."""
