"""Training and judging the fastText classifiers that quality filters use."""
