"""Punkt sentence splitting."""
