"""trafilatura as FineWeb sets it: rather less text than text that is not the page's own, and no comments.

Source: `Trafilatura(favour_precision=True)` of datatrove 0.10.1, without its `deduplicate`, for which a page's text
depends on the pages that the process has seen before.
"""

from __future__ import annotations

import trafilatura


def extract(html: str) -> str:
    """The page's main text; empty where trafilatura finds none."""
    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""
