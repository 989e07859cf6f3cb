"""trafilatura as configured by FineWeb: prefers missing text over text that does not belong to the page, and no
comments.

Source: `Trafilatura(favour_precision=True)` of datatrove 0.10.1, without its `deduplicate`, which makes a page's text
depend on the pages that the process has seen before.
"""

from __future__ import annotations

import trafilatura


def extract(html: str) -> str:
    """The page's main text; empty if trafilatura finds none."""
    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""
