"""trafilatura with its default settings: slower, stricter about what is main text."""

from __future__ import annotations

import trafilatura


def extract(html: str) -> str:
    """The page's main text; empty where trafilatura finds none."""
    return trafilatura.extract(html) or ""
