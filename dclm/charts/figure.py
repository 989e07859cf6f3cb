"""Figures drawn by matplotlib, in the common look: the same content gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dclm.charts.palette import LIGHT, SERIES, repainted
from dclm.charts.svg import FITS, attributes, words
from dclm.core.errors import ConfigError
from dclm.core.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png", ".pdf")
_OPENING = re.compile(r"<svg ")
_FIRST = re.compile(r"(<svg [^>]*>)")
_TITLE = re.compile(r"\s*<title>[^<]*</title>")
_DATES: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


@contextmanager
def figure(path: Path, title: str, description: str, width: float, height: float) -> Iterator[Figure]:
    """A new figure (size in inches) that is written to `path` when the block ends.

    `title` and `description` are for screen readers; they are not drawn. Raises: ConfigError if the extension is not
    one of FORMATS.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(str(path), f"found {path.suffix or 'no extension'!r}, allowed: {', '.join(FORMATS)}")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    settings: dict[Any, Any] = {
        "svg.hashsalt": "dclm",
        "font.sans-serif": ["DejaVu Sans"],
        "svg.fonttype": "none",  # text stays text: it can be selected and read aloud
        "axes.prop_cycle": cycler(color=[LIGHT[name] for name in SERIES]),
        "text.color": LIGHT["ink"],
        "axes.labelcolor": LIGHT["soft"],
        "xtick.color": LIGHT["soft"],
        "ytick.color": LIGHT["soft"],
        "axes.edgecolor": LIGHT["other"],
        "grid.color": LIGHT["line"],
        "figure.facecolor": LIGHT["panel"],
        "axes.facecolor": LIGHT["panel"],
    }
    with mpl.rc_context(settings):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        with atomic_file(path) as temporary:
            drawn.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_DATES.get(path.suffix, {}))
            if path.suffix == ".svg":
                text = Path(temporary).read_text(encoding="utf-8")
                Path(temporary).write_text(_described(text, title, description), encoding="utf-8")


def _described(svg: str, title: str, description: str) -> str:
    """The picture with its title and description, fit for small windows and dark screens."""
    text = _TITLE.sub("", svg, count=1)
    text = _OPENING.sub(lambda _: f'<svg style="{FITS}" {attributes(title)} ', text, count=1)
    more = f"{words(title, description)}<style>{repainted(svg)}</style>"
    return _FIRST.sub(lambda found: found[1] + more, text, count=1)
