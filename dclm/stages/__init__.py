"""Stages: each takes artifacts and gives an artifact."""
