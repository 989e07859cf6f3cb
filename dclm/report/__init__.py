"""Reports: a page about an artifact, the effect of each step, comparisons of models and extractors."""
