"""Scaling fits: scores as a function of compute for each corpus, and how much compute one corpus saves over another."""
