"""Model-based selection: scores, classifiers, and the cuts made on them."""
