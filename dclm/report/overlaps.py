"""The overlaps between the sources of an artifact as a picture and as tables, for reports in HTML."""

from __future__ import annotations

from collections.abc import Callable

from dclm.charts.escape import escape, span
from dclm.charts.scroll import scrolled
from dclm.documents.overlaps import Overlaps

_CELL, _LINE, _LEFT = 90, 26, 180
_MOST_LETTERS = 22


def render_overlaps(overlaps: Overlaps) -> str:
    """A picture of the shares, and tables with all numbers, which say the same in text."""
    note = (
        "Share of each row's documents that have a duplicate in the column's source, whichever copy is kept. On the"
        " diagonal: that have another copy in their own source. The share of the text is in code points."
    )
    tables = "".join(
        f"<h3>{title}</h3>{scrolled(_table(overlaps, cell), title)}"
        for title, cell in (
            ("Share of the documents", _share(overlaps.share)),
            ("Share of the text", _share(overlaps.share_of_characters)),
            ("Documents with a duplicate", lambda row, column: f"{overlaps.found[row][column]:,}"),
            ("Documents dropped for one of the column's source", lambda row, col: f"{overlaps.dropped[row][col]:,}"),
        )
    )
    return f'<p class="note">{note}</p>{_picture(overlaps)}{tables}'


def _share(of: Callable[[int, int], float | None]) -> Callable[[int, int], str]:
    def cell(row: int, column: int) -> str:
        share = of(row, column)
        return "–" if share is None else f"{share:.1%}"

    return cell


def _picture(overlaps: Overlaps) -> str:
    """A square per pair of sources, the more opaque the larger the share."""
    names = [name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…" for name in overlaps.sources]
    shapes = [
        f'<text x="{_LEFT + column * _CELL + _CELL / 2:g}" y="16" text-anchor="middle">{escape(name[:11])}</text>'
        for column, name in enumerate(names)
    ]
    told = []
    for row, name in enumerate(names):
        y = _LINE * (row + 1)
        shapes.append(f'<text x="{_LEFT - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        for column, other in enumerate(names):
            share = overlaps.share(row, column) or 0.0
            x = _LEFT + column * _CELL
            size = f'width="{_CELL - 2}" height="{_LINE - 2}"'
            shapes.append(
                f'<rect class="cut" fill-opacity="{share:.3f}" x="{x}" y="{y}" {size}/>'
                f'<text x="{x + _CELL / 2 - 1:g}" y="{y + 17}" text-anchor="middle">{share:.1%}</text>'
            )
            if row != column:
                told.append(f"{share:.1%} of {name} is in {other}")
    width, height = _LEFT + _CELL * len(names), _LINE * (len(names) + 1)
    label = escape("; ".join(told))
    return (
        f'<svg class="matrix" viewBox="0 0 {max(width, 900)} {height}" role="img" aria-label="{label}">'
        f"{''.join(shapes)}</svg>"
    )


def _table(overlaps: Overlaps, cell: Callable[[int, int], str]) -> str:
    places = range(len(overlaps.sources))
    head = "".join(f"<th>{span(name)}</th>" for name in overlaps.sources)
    rows = "".join(
        f'<tr><td class="text">{span(overlaps.sources[row])}</td><td>{overlaps.documents[row]:,}</td>'
        f"<td>{overlaps.characters[row]:,}</td>{''.join(f'<td>{cell(row, column)}</td>' for column in places)}</tr>"
        for row in places
    )
    first = '<th class="text">source</th><th>documents</th><th>characters</th>'
    return f"<table><thead><tr>{first}{head}</tr></thead><tbody>{rows}</tbody></table>"
