"""The board server."""
