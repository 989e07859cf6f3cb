"""jusText with its English stop words: a page in another language is boilerplate to it."""

from __future__ import annotations

from functools import cache

import justext
from lxml.etree import LxmlError


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(justext.get_stoplist("English"))


def extract(html: str) -> str:
    """The paragraphs that are no boilerplate, one a line. A page without any element has none."""
    if not html.strip():
        return ""
    try:
        paragraphs = justext.justext(html.encode("utf-8", "replace"), _stop_words(), encoding="utf-8")
    except LxmlError:  # nothing in the page is an element
        return ""
    return "\n".join(paragraph.text for paragraph in paragraphs if not paragraph.is_boilerplate)
