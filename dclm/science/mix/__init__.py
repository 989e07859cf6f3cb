"""Mixtures: the best shares of several sources, judged by small proxy models trained on many mixtures."""
