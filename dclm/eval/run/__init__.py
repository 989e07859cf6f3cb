"""Runs an evaluation: units, forward passes, generation."""
