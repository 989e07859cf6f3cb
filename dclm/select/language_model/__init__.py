"""Scores by language models. Only the modules that compute import torch; steps import them when they open."""
