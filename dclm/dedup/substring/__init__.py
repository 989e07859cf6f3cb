"""Exact repeated spans of tokens."""
