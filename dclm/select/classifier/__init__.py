"""Trains and evaluates the fastText classifiers that quality filters use."""
