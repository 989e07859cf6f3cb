"""A chart as an SVG file: its title, its description for people who cannot see it, and the common look."""

from __future__ import annotations

from collections.abc import Iterable

from dclm.charts.escape import escape
from dclm.charts.palette import FONT, SERIES, sheet

_RULES = (
    f"text{{font:12px {FONT};fill:$soft}}.head{{font-size:14px;font-weight:600;fill:$ink}}.panel{{fill:$panel}}"
    ".grid{stroke:$line}.even{stroke:$soft;stroke-dasharray:4 4}.curve{stroke:$accent;stroke-width:2;fill:none}"
    ".dot{fill:$accent}.few{fill:$other}.error{stroke:$accent;stroke-width:1.5}"
)
_COLORS = "".join(f".f-{name}{{fill:${name}}}.s-{name}{{stroke:${name}}}" for name in SERIES)
FITS = "max-width:100%;height:auto"
"""Style of a picture that is never wider than its window."""


def attributes(title: str) -> str:
    """The attributes by which a screen reader knows a picture."""
    return f'role="img" aria-label="{escape(title)}"'


def words(title: str, description: str = "") -> str:
    """The elements that name and describe a picture: they come first in it."""
    more = f"<desc>{escape(description)}</desc>" if description else ""
    return f"<title>{escape(title)}</title>{more}"


def shortened(text: str, characters: int) -> str:
    """At most this many characters of `text`: an ellipsis replaces the part before its last twelve."""
    return text if len(text) <= characters else f"{text[: characters - 13]}…{text[-12:]}"


def picture(width: float, height: float, shapes: Iterable[str], title: str, description: str) -> str:
    """A whole file. Shapes are SVG with the classes above, `f-c0` (fill) and `s-c0` (stroke) for series; `title` and
    `description` are text."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" style="{FITS}" {attributes(title)}>{words(title, description)}'
        f'<style>{sheet(_RULES + _COLORS)}</style><rect class="panel" width="{width:g}" height="{height:g}"/>'
        f"{''.join(shapes)}</svg>\n"
    )
