"""Untrusted text as HTML that displays every character and has no other effect."""

from __future__ import annotations

import html
import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters without a glyph: controls (except tab and newline), zero widths, direction marks, surrogates, tags."""
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Limit for combining marks stacked on one letter: four stay, so that they do not cover the lines above and below."""


def escape(text: str) -> str:
    """`text` for an element's content or a quoted attribute; invisible characters become ⟨U+XXXX⟩."""
    shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
    return html.escape(_MARKS.sub(r"\1", shown), quote=True)


def excerpt(text: str, characters: int) -> str:
    """The beginning of `text` with whitespace collapsed, escaped; an ellipsis marks a cut."""
    start = " ".join(text[: 4 * characters].split())
    cut = len(start) > characters or len(text) > 4 * characters
    return escape(start[:characters]) + (" …" if cut else "")


def span(text: str) -> str:
    """An escaped piece of untrusted text, isolated so that its writing direction affects nothing else."""
    return f'<bdi dir="auto">{escape(text)}</bdi>'
