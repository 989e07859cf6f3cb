"""Finds the text of evaluation items in documents."""
