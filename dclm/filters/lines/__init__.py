"""Filters and edits of lines, paragraphs and substrings."""
