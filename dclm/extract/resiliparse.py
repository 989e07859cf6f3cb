"""DCLM's extractor: Resiliparse with main content on and everything else at its defaults."""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text


def extract(html: str) -> str:
    """The page's main text. Source: DCLM's tools/commoncrawl, the settings unchanged."""
    text: str = extract_plain_text(html, main_content=True)
    return text
