"""Kinds of tasks, one file each: which columns, which prompt, which score."""
