"""The board as one HTML page without outside resources. Names on it come from strangers: all of it is escaped.

The page works without its script (ranked by CORE); the script sorts by any column and filters by scale. A policy
allows that one script and that one style sheet, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from dclm.board.entry import Broken, Entry
from dclm.board.plot import render_plot
from dclm.board.rank import rank, tones
from dclm.board.result import Result, write_result
from dclm.core.storage import write_atomic


def _asset(name: str) -> str:
    return resources.files("dclm.board").joinpath(f"site/{name}").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_STYLE, _CODE = _asset("board.css"), _asset("board.js")
POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_CODE)}; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of the page."""


class _Column(NamedTuple):
    label: str
    explain: str
    value: Callable[[Result], float | str | None]
    show: Callable[[float], str] = str
    best: str = "high"


def _signed(value: float) -> str:
    return f"{100 * value:.2f}"


def _short(value: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:g}"


TEXT = "wikitext2"
"""The text of whose bits a byte there is a column."""


def _bits(result: Result) -> float | None:
    text = result.perplexity.get(TEXT)
    return None if text is None else text.bits_per_byte


_COLUMNS = (
    _Column("Name", "as submitted", lambda r: r.name),
    _Column("Scale", "of the training run", lambda r: r.training.scale),
    _Column("CORE", "centred accuracy, mean of 22 tasks, v2, in percent", lambda r: r.core_v2, _signed),
    _Column("±", "standard error of CORE", lambda r: r.core_v2_stderr, _signed, "low"),
    _Column("EXTENDED", "the same over 53 tasks", lambda r: r.extended_v2, _signed),
    _Column("Tasks", "tasks with a score", lambda r: float(len(r.scores)), _short),
    _Column("Bits/byte", f"on the text {TEXT}", _bits, "{:.3f}".format, "low"),
    _Column("Val. loss", "nats a token, held-out text", lambda r: r.training.validation_loss, "{:.4f}".format, "low"),
    _Column("Params", "trainable parameters", lambda r: r.training.params, _short),
    _Column("Tokens", "tokens seen in training", lambda r: r.training.tokens, _short),
    _Column("FLOPs", "6 · parameters · tokens", lambda r: r.training.flops, "{:.2e}".format),
    _Column("Pipeline", "of the data", lambda r: r.data.pipeline or ""),
    _Column("Track", "filtering or mixing", lambda r: r.track),
)
_TEXT = ("Name", "Scale", "Pipeline", "Track")


def render_page(results: Sequence[Result], link: str = "results/{id}.json", title: str = "DCLM leaderboard") -> str:
    """The page. `link` is where the JSON of a result is, from the page's point of view."""
    ordered = rank(results)
    tone = tones(ordered)
    scales = "".join(f'<option value="{_escape(s)}">{_escape(s)}</option>' for s in tone)
    legend = "".join(
        f'<li data-scale="{_escape(scale)}"><span class="dot t{number}"></span>{_escape(scale)}</li>'
        for scale, number in tone.items()
    )
    rows = "\n".join(_row(result, tone[result.training.scale], link) for result in ordered)
    heads = "".join(_head(column) for column in _COLUMNS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{_escape(title)}</h1>
<p>Models that differ in their training data and in nothing else. CORE and EXTENDED are means of accuracies, centred
so that 0 is guessing and 100 is perfect; a mean with a missing task is not given.</p></header>
<main>
<section class="panel" aria-labelledby="plot-title"><h2 id="plot-title">CORE against training compute</h2>
{render_plot(ordered, tone)}
<ul class="legend">{legend}</ul></section>
<section class="panel" aria-label="Results">
<div class="bar"><label>Scale <select id="scale"><option value="">all</option>{scales}</select></label>
<span class="note" role="status"><span id="shown">{len(ordered)} of {len(ordered)}</span> results</span></div>
<div class="scroll"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table></div></section>
</main>
<footer><p>Select a column's head to sort by it. A name leads to the whole result.</p></footer>
<script>{_CODE}</script>
</body>
</html>
"""


def export_site(entries: Sequence[Entry], out: Path, published: bool = False, broken: Sequence[Broken] = ()) -> Path:
    """Write index.html and results/ID.json under `out`; returns the page's path."""
    results = [entry.result for entry in entries]
    for result in results:
        write_result(out / "results" / f"{result.id}.json", result)
    page = out / "index.html"
    write_atomic(page, render_page(results).encode())
    return page


def _head(column: _Column) -> str:
    kind = ' class="text"' if column.label in _TEXT else f' data-best="{column.best}"'
    current = ' aria-sort="descending"' if column.label == "CORE" else ""
    button = f'<button title="{_escape(column.explain)}">{_escape(column.label)}</button>'
    return f'<th scope="col"{kind}{current}>{button}</th>'


def _row(result: Result, tone: int, link: str) -> str:
    cells = []
    for column in _COLUMNS:
        value = column.value(result)
        if column.label == "Name":
            target = link.format(id=result.id)
            shown = f'<span class="dot t{tone}"></span><a href="{target}">{_escape(result.name)}</a>{_tags(result)}'
            cells.append(f'<td class="text name" data-v="{_escape(result.name)}">{shown}</td>')
        elif isinstance(value, str):
            cells.append(f'<td class="text" data-v="{_escape(value)}">{_escape(value) or "—"}</td>')
        elif value is None:
            cells.append('<td data-v="">—</td>')
        else:
            cells.append(f'<td data-v="{value!r}">{_escape(column.show(value))}</td>')
    return f'<tr data-scale="{_escape(result.training.scale)}" data-id="{result.id}">{"".join(cells)}</tr>'


def _tags(result: Result) -> str:
    tags = []
    if result.limited is not None:
        tags.append(f"{result.limited} items a task")
    if result.incomplete:
        tags.append("incomplete data")
    if result.training.deviations:
        tags.append("off scale")
    if result.imported is not None:
        tags.append("imported")
    return "".join(f'<span class="tag">{_escape(tag)}</span>' for tag in tags)


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
