"""The board as one HTML page without external resources. Names on it are untrusted: all of them are escaped.

The page works without its script (best CORE first); the script sorts, filters, compares and keeps its state in the
address. A policy allows only that script and that style sheet, by their hashes.
"""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dclm.board.entry import NUMBERED, Broken, Entry, Standing
from dclm.board.known.published import LICENSE, SOURCE, published_entries
from dclm.board.pages.detail import render_detail
from dclm.board.pages.frame import POLICY, SCRIPT, frame
from dclm.board.pages.listing import to_csv, to_json
from dclm.board.pages.multiplier import DEFAULT, lines, multiplier
from dclm.board.pages.plot import render_plot
from dclm.board.rank import rank_entries, tones
from dclm.board.result import Result, write_result
from dclm.board.uncertainty import core_error, task_error
from dclm.charts.scroll import scrolled
from dclm.core.storage import write_atomic
from dclm.eval.suite import load_suite

__all__ = ["POLICY", "export_site", "render_page"]
TEXT = "wikitext2"
"""The text whose bits per byte are a column."""


class _Column(NamedTuple):
    label: str
    explain: str
    value: Callable[[Entry], float | str | None]
    show: Callable[[float], str] = str
    best: str = "high"
    wide: bool = True
    """Hidden on a phone."""


def _signed(value: float) -> str:
    return f"{100 * value:.2f}"


def _short(value: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:g}"


def _bits(entry: Entry) -> float | None:
    text = entry.result.perplexity.get(TEXT)
    return None if text is None else text.bits_per_byte


def _error(entry: Entry) -> float | None:
    error = core_error(entry.result)
    return None if error is None else error.value


def _multiplier(entry: Entry) -> float | None:
    found = multiplier(entry.result)
    return None if found is None else found.value


_COLUMNS = (
    _Column("Name", "each name links to the page of its result", lambda e: e.shown, wide=False),
    _Column("Scale", "of the training run", lambda e: e.result.training.scale),
    _Column("CORE", "mean centered accuracy of 22 tasks, v2, percent", lambda e: e.result.core_v2, _signed, wide=False),
    _Column("±", "standard error of CORE; binomial for published results", _error, _signed, "low", wide=False),
    _Column(
        "CORE bits",
        "bits per byte of the right answers, mean over CORE",
        lambda e: e.result.core_bpb,
        "{:.3f}".format,
        "low",
    ),
    _Column("EXTENDED", "the same over 53 tasks", lambda e: e.result.extended_v2, _signed),
    _Column(
        "× FLOPs",
        "FLOPs that the baseline needs for the same CORE, as a multiple of this run's; gray: beyond the baseline's own "
        "runs",
        _multiplier,
        "{:.2f}".format,
    ),
    _Column("Tasks", "tasks with a score", lambda e: float(len(e.result.scores)), _short),
    _Column("Bits/byte", f"on the text {TEXT}", _bits, "{:.3f}".format, "low"),
    _Column(
        "Val. loss", "nats per token, held-out", lambda e: e.result.training.validation_loss, "{:.4f}".format, "low"
    ),
    _Column("Params", "trainable parameters", lambda e: e.result.training.params, _short),
    _Column("Tokens", "tokens seen in training", lambda e: e.result.training.tokens, _short),
    _Column("FLOPs", "6 · parameters · tokens", lambda e: e.result.training.flops, "{:.2e}".format),
    _Column("Track", "filtering or mixing", lambda e: "" if e.published else e.result.track),
)
_TEXT = ("Name", "Scale", "Track")
_GROUPS: tuple[tuple[Standing, str], ...] = (
    ("ranked", "Ranked: complete runs of the benchmark, with scores recomputed from their items"),
    ("evaluated", "Evaluated only: nothing is known about how these models were trained"),
    ("apart", "Not ranked: the tags say why"),
    ("published", "Published results of DCLM, for reference"),
)


def render_page(
    entries: Sequence[Entry], *, broken: Sequence[Broken] = (), title: str = "DCLM leaderboard", details: bool = True
) -> str:
    """The page. `details`: results/ID.html exists for every entry, next to the page."""
    ordered = rank_entries(entries)
    tone = tones([entry.result for entry in ordered])
    scales = "".join(f'<option value="{_escape(s)}">{_escape(s)}</option>' for s in tone)
    legend = "".join(f'<li><span class="dot t{number}"></span>{_escape(scale)}</li>' for scale, number in tone.items())
    baselines = "".join(f"<option>{_escape(name)}</option>" for name in lines().baselines if name != DEFAULT)
    heads = "".join(_head(column) for column in _COLUMNS)
    bodies = "\n".join(_group(standing, label, ordered, tone, details) for standing, label in _GROUPS)
    missing = "".join(f"<li>{_escape(b.id)}: {_escape(b.problem)}</li>" for b in broken)
    lost = f'<section class="panel warn"><h2>Not shown</h2><ul>{missing}</ul></section>' if broken else ""
    first = '<th class="pick"><span class="only-read">Compare</span></th><th class="place">#</th>'
    table = scrolled(f"<table>\n<thead><tr>{first}{heads}</tr></thead>\n{bodies}\n</table>", "Table of results")
    return frame(
        title,
        f"""<header><h1>{_escape(title)}</h1>
<p>Models that differ only in their training data. CORE and EXTENDED are means of accuracies, centered
so that 0 is guessing and 100 is perfect. A mean is left out if a task is missing.</p></header>
<main>
<section class="panel" aria-labelledby="plot-title"><h2 id="plot-title">CORE against training compute</h2>
{render_plot(ordered, tone)}
<ul class="legend">{legend}<li><span class="line"></span>best CORE so far, ± one standard error</li></ul></section>
<section class="panel" id="compare" aria-live="polite" aria-label="Comparison" hidden></section>
<section class="panel" aria-label="Results">
<form class="bar" role="search">
<label class="grow">Search
<input type="search" id="search" placeholder="name, corpus, pipeline" autocomplete="off"></label>
<label>Scale <select id="scale"><option value="">all</option>{scales}</select></label>
<label>Track <select id="track"><option value="">all</option><option>filtering</option>
<option>mixing</option></select></label>
<label>Tokens <select id="tokens"><option value="">any</option><option value="0-1e10">under 10B</option>
<option value="1e10-5e10">10–50B</option><option value="5e10-1.4e11">50–140B</option>
<option value="1.4e11-1e20">over 140B</option></select></label>
<label>Source <select id="source"><option value="">all</option><option value="own">this board</option>
<option value="published">published</option></select></label>
<label>× FLOPs of <select id="baseline"><option value="">{_escape(DEFAULT)}</option>{baselines}</select></label>
<label class="check"><input type="checkbox" id="together"> sort all groups together</label>
</form>
<p class="note" role="status"><span id="shown">{len(ordered)} of {len(ordered)}</span> results.
Select two to compare them.
<span class="actions"><button type="button" id="csv" hidden>CSV of these</button>
<button type="button" id="json" hidden>JSON of these</button>
<button type="button" id="reset" hidden>Clear filters</button></span></p>
<p class="note phone">The page of each result has all of its numbers.</p>
{table}</section>
{lost}</main>
<footer><p>Click a column header to sort by it. All results with the score of every task:
<a href="results.csv">CSV</a>, <a href="results.json">JSON</a>. Published results: {_escape(SOURCE)}, license
{_escape(LICENSE)}; their standard errors are binomial, computed here.</p></footer>
<script type="application/json" id="data">{_data(ordered)}</script>
<script>{SCRIPT}</script>
""",
    )


def export_site(entries: Sequence[Entry], out: Path, published: bool = False, broken: Sequence[Broken] = ()) -> Path:
    """Write index.html, results/ID.html (and ID.json of own results), results.csv and results.json under `out`.

    `published`: include DCLM's published results as reference rows. Returns the page's path.
    """
    everything = [*entries, *(published_entries() if published else ())]
    for entry in everything:
        if not entry.published:
            write_result(out / "results" / f"{entry.id}.json", entry.result)
        link = None if entry.published else f"{entry.id}.json"
        write_atomic(out / "results" / f"{entry.id}.html", render_detail(entry, json_link=link).encode())
    write_atomic(out / "results.csv", to_csv(everything).encode())
    write_atomic(out / "results.json", to_json(everything).encode())
    page = out / "index.html"
    write_atomic(page, render_page(everything, broken=broken).encode())
    return page


def _head(column: _Column) -> str:
    kinds = [*(["text"] * (column.label in _TEXT)), *(["wide"] * column.wide)]
    best = "" if column.label in _TEXT else f' data-best="{column.best}"'
    current = ' aria-sort="descending"' if column.label == "CORE" else ""
    button = f'<button type="button" title="{_escape(column.explain)}">{_escape(column.label)}</button>'
    return f'<th scope="col" class="{" ".join(kinds)}"{best}{current}>{button}</th>'


def _group(standing: Standing, label: str, entries: Sequence[Entry], tone: dict[str, int], details: bool) -> str:
    mine = [entry for entry in entries if entry.standing == standing]
    head = f'<tr class="group"><th colspan="{len(_COLUMNS) + 2}" scope="rowgroup">{_escape(label)}</th></tr>'
    rows = "\n".join(
        _row(entry, number if standing in NUMBERED else None, tone[entry.result.training.scale], details)
        for number, entry in enumerate(mine, 1)
    )
    hidden = "" if mine else " hidden"
    return f'<tbody data-standing="{standing}"{hidden}>{head}\n{rows}</tbody>'


def _row(entry: Entry, place: int | None, tone: int, details: bool) -> str:
    result = entry.result
    cells = [
        f'<td class="pick"><input type="checkbox" aria-label="Compare {_escape(entry.shown)}"></td>'
        f'<td class="place">{place or ""}</td>'
    ]
    for column in _COLUMNS:
        value = column.value(entry)
        wide = " wide" if column.wide else ""
        if column.label == "Name":
            name = _escape(entry.shown)
            link = f'<a href="results/{entry.id}.html">{name}</a>' if details else name
            scale = f'<span class="phone">{_escape(result.training.scale)}</span>'
            shown = f'<span class="dot t{tone}"></span>{link} {scale}{_tags(entry)}'
            cells.append(f'<td class="text name" data-v="{name}">{shown}</td>')
        elif isinstance(value, str):
            cells.append(f'<td class="text{wide}" data-v="{_escape(value)}">{_escape(value) or "—"}</td>')
        elif value is None:
            cells.append(f'<td class="{wide.strip()}" data-v="">—</td>')
        else:
            more = _spread(entry) if column.label == "× FLOPs" else ""
            cells.append(f'<td class="{wide.strip()}" data-v="{value!r}"{more}>{_escape(column.show(value))}</td>')
    texts = [entry.shown, result.name, result.data.pipeline, entry.submitter, *result.data.pools]
    words = " ".join(filter(None, texts))
    return (
        f'<tr data-id="{entry.id}" data-scale="{_escape(result.training.scale)}"'
        f' data-track="{_escape(result.track)}" data-source="{"published" if entry.published else "own"}"'
        f' data-tokens="{result.training.tokens or ""}" data-words="{_escape(words.lower())}">{"".join(cells)}</tr>'
    )


def _spread(entry: Entry) -> str:
    """Attributes of a multiplier's cell: its interval, and whether it is extrapolated."""
    found = multiplier(entry.result)
    if found is None:
        return ""
    known = found.low is not None and found.high is not None
    ends = f"95 % {found.low:.2f} to {found.high:.2f}" if known else "no bounds"
    beyond = ", extrapolated" if found.extrapolated else ""
    return f' title="{ends}{beyond}"' + (' data-beyond=""' if found.extrapolated else "")


def _tags(entry: Entry) -> str:
    tags = ["re-scored"] if entry.standing == "ranked" else [*entry.reasons]
    kind = "tag plainly" if entry.published else "tag"
    return "".join(f' <span class="{kind}">{_escape(tag)}</span>' for tag in tags)


def _data(entries: Sequence[Entry]) -> str:
    """The data for comparisons, as JSON that cannot close an HTML element: the scores of all tasks in units of
    1/10,000."""
    suite, core = load_suite("extended"), set(load_suite("core").labels)
    tasks = [[t.task, t.metadata.baseline.v2, int(t.task in core)] for t in suite.tasks]
    scores = {entry.id: [_packed(entry.result, label) for label in suite.labels] for entry in entries}
    part = [entry.id for entry in entries if entry.result.limited is not None]
    fitted = dataclasses.asdict(lines())
    text = json.dumps({"tasks": tasks, "scores": scores, "lines": fitted, "part": part}, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _packed(result: Result, task: str) -> list[int] | int | None:
    """The score, or score and error if it was measured."""
    score = result.scores.get(task)
    if score is None:
        return None
    error = task_error(result, task)
    value = round(10_000 * score.score)
    return value if error is None else [value, round(100_000 * error.value)] if error.measured else value


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
