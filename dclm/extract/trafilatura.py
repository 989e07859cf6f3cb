"""trafilatura with its default settings: slower, and stricter about what counts as main text."""

from __future__ import annotations

import trafilatura


def extract(html: str) -> str:
    """The page's main text; empty if trafilatura finds none."""
    return trafilatura.extract(html) or ""
