"""Kinds of tasks, one file each: their columns, prompt and score."""
