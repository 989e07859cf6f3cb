"""Predictions across scales: which of several corpora is best at a large scale, judged by runs at a small one."""
