"""Small HTML tables for Jupyter. Untrusted text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_CELL = 'style="text-align:{};padding:0.15em 0.8em"'


def render_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """One table with a title above and a note below it. Numbers are right-aligned; None is a dash."""
    head = "".join(f"<th {_CELL.format('left')}>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f"<p>{html.escape(note)}</p>" if note else ""
    return (
        f"<div><strong>{html.escape(title)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


def _cell(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"<td {_CELL.format('right' if number else 'left')}>{html.escape(show(value))}</td>"


def show(value: object) -> str:
    """A value as a table's cell."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= 160 else f"{text[:159]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
