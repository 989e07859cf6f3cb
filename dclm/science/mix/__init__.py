"""Mixtures: which shares of several sources are best, judged by small proxy models trained on many mixtures."""
