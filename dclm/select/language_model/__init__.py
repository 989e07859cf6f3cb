"""Scores by language models. Only the modules that compute import torch, and steps import those when they open."""
