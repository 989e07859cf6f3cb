"""Scaling fits: scores over compute for each corpus, and how much compute one corpus saves over another."""
