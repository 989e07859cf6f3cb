"""Model-based selection: scores, classifiers, and cuts on them."""
