"""Seeing what a pipeline did: one page on an artifact, what each step is worth, how models and extractors compare."""
