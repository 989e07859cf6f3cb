"""Running an evaluation: units, forward passes, generation."""
