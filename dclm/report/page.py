"""The report about an artifact as one HTML page: no script, no external resources, and all untrusted text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from dclm import __version__
from dclm.charts.escape import escape, excerpt, span
from dclm.charts.scroll import scrolled
from dclm.documents.artifact import StepRow
from dclm.documents.overlaps import read_overlaps
from dclm.documents.samples import Sample
from dclm.report.alarms import RULES
from dclm.report.build import GroupTable, Report
from dclm.report.cuts import render_cuts
from dclm.report.groups import Group
from dclm.report.overlaps import render_overlaps
from dclm.report.pictures.histogram import LENGTH, Histogram, totals
from dclm.report.pictures.style import POLICY, STYLE
from dclm.report.pictures.svg import BarPart, bar, draw_histogram, short, swatch
from dclm.report.waterfall import render_waterfall

EXCERPT = 500
"""Number of characters shown of a sample."""
KEPT_SHOWN = 12


def render(title: str, body: str, footer: str) -> str:
    """A whole page around `body`, which is HTML; `title` and `footer` are text."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
<footer><p>{escape(footer)}</p></footer>
</body>
</html>
"""


def render_report(report: Report) -> str:
    """The page. The same artifact gives the same bytes."""
    record = report.artifact.record
    overlaps = read_overlaps(record)
    sections = [
        _tiles(report),
        _alarms(report),
        render_waterfall(report),
        "" if overlaps is None else panel("Overlap of sources", render_overlaps(overlaps)),
        panel("Cuts", render_cuts(report.cuts)),
        panel("Annotations", _histograms(report.histograms)),
        *map(_table, report.tables),
        panel("What each step dropped and let through", _by_step(report)),
        panel("What was kept", _kept(report)),
    ]
    seed = f"seed {report.artifact.seed}"
    header = f"<header><h1>{escape(record.name)}</h1><p>documents · {seed} · {record.fingerprint[:16]}</p></header>"
    footer = f"dclm {__version__} · pool {record.inputs['pool'][:16]} · {RULES}"
    return render(f"{record.name} · report", f"{header}\n<main>\n{''.join(sections)}</main>", footer)


def panel(title: str, body: str) -> str:
    """A section; both arguments are HTML."""
    return f'<section class="panel"><h2>{title}</h2>{body}</section>\n'


def _tiles(report: Report) -> str:
    read, kept = report.artifact.count("read"), report.artifact.count("kept")
    last = report.artifact.steps[-1]
    numbers = [
        (f"{read:,}", "records read"),
        (f"{kept:,}", f"documents kept, {kept / read:.1%}"),
        (f"{report.artifact.count('dropped'):,}", "dropped"),
        (f"{report.artifact.count('rejected'):,}", "rejected"),
        (short(last.characters_out), f"characters kept, {short(last.bytes_out)}B of UTF-8"),
    ]
    if report.tokens is not None:
        error = 100 * report.tokens.relative_error
        numbers.append((f"≈ {short(report.tokens.out[last.index])}", f"tokens kept, ± {error:.2g} %"))
    return tiles(numbers)


def tiles(numbers: Sequence[tuple[str, str]]) -> str:
    """Large numbers in a row: value and label, both HTML."""
    shown = "".join(f'<div class="tile"><b>{value}</b><span>{what}</span></div>' for value, what in numbers)
    return f'<div class="tiles">{shown}</div>\n'


def _alarms(report: Report) -> str:
    if not report.alarms:
        return '<p class="note">No alarms.</p>\n'
    lines = "".join(f"<li>{span(alarm)}</li>" for alarm in report.alarms)
    return f'<section class="alarms"><h2>Check this first</h2><ul>{lines}</ul></section>\n'


def _histograms(histograms: Sequence[Histogram]) -> str:
    if not histograms:
        return '<p class="note">No step added a number, and no document had text.</p>'
    note = (
        "All records that had the value when they were dropped or kept; dashed lines are the thresholds of the run."
        " An axis that reaches 1,000 is logarithmic."
    )
    legend = _legend(kept="kept", cut="dropped by a cut on this number", other="dropped for another reason")
    return f'<p class="note">{note}</p>{legend}<div class="grid">{"".join(map(_figure, histograms))}</div>'


def _legend(**names: str) -> str:
    items = "".join(f"<li>{swatch(kind)}{name}</li>" for kind, name in names.items())
    return f'<ul class="legend">{items}</ul>'


def _figure(histogram: Histogram) -> str:
    name = "characters of text" if histogram.name == LENGTH else histogram.name
    counts = totals(histogram)
    parts = [f"kept {counts['kept']:,}", f"cut {counts['cut']:,}", f"dropped for another reason {counts['other']:,}"]
    parts.append(f"no value {histogram.missing:,}")
    cuts = "; ".join(cut.label for cut in histogram.cuts)
    note = " · ".join(parts) + (f" · cut by {cuts}" if cuts else "")
    return f'<figure><h3>{span(name)}</h3>{draw_histogram(histogram)}<p class="note">{escape(note)}</p></figure>'


def _table(table: GroupTable) -> str:
    if not any(table.lists.values()):
        return ""
    note = f"{table.distinct:,} different."
    if table.undercount:
        note += f" There were too many to count exactly: a row may lack up to {table.undercount:,} records."
    lists = "".join(f"<div><h3>{title}</h3>{_groups(groups)}</div>" for title, groups in table.lists.items())
    legend = _legend(kept="kept", cut="dropped", reject="rejected")
    return panel(f"By {span(table.title)}", f'<p class="note">{note}</p>{legend}<div class="grid">{lists}</div>')


def _groups(groups: Sequence[Group]) -> str:
    most = max((group.read for group in groups), default=0)
    rows = []
    for group in groups:
        parts = (
            BarPart("kept", group.kept),
            BarPart("cut", group.lost - group.rejected),
            BarPart("reject", group.rejected),
        )
        cells = "".join(f"<td>{number:,}</td>" for number in (group.read, group.kept))
        name = span(group.key if len(group.key) <= 80 else group.key[:79] + "…")
        share = f"<td>{group.kept / group.read:.0%}</td>"
        rows.append(f'<tr><td class="text wide">{name}</td>{cells}{share}<td class="bar">{bar(parts, most)}</td></tr>')
    head = '<tr><th class="text"></th><th>read</th><th>kept</th><th></th><th></th></tr>'
    return scrolled(f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>", "Records by group")


def _by_step(report: Report) -> str:
    shown = "".join(_samples_of(report, step) for step in report.artifact.steps if step.index in report.dropped)
    if not shown:
        return '<p class="note">No step dropped a document that had text.</p>'
    note = (
        "Drawn by the hash of seed and id; for a step that cuts on a number, those let through are closest to its cut"
        " among the samples. Texts are shown as they were when the document was dropped or kept."
    )
    return f'<p class="note">{note}</p>{shown}'


def _samples_of(report: Report, step: StepRow) -> str:
    names = {other.index: other.name for other in report.artifact.steps}
    dropped = "".join(_sample(sample, "sample") for sample in report.dropped[step.index])
    passed = ""
    for one in report.passed[step.index]:
        fate = "kept" if one.left_at is None else f"dropped later, by {one.left_at}. {names[one.left_at]}"
        number = "" if one.number is None else f" · {one.number:.4g}"
        passed += _sample(one.sample, "sample good" if one.left_at is None else "sample", f" · {escape(fate)}{number}")
    title = f"<b>{step.index}. {escape(step.name)}</b>"
    note = f'<span class="note">{step.dropped:,} documents dropped, {step.documents_out:,} let through</span>'
    lists = [("dropped", dropped), ("let through", passed or '<p class="note">No sample.</p>')]
    columns = "".join(f"<div><h3>{heading}</h3>{samples}</div>" for heading, samples in lists)
    return f'<details><summary>{title}{note}</summary><div class="grid">{columns}</div></details>\n'


def _kept(report: Report) -> str:
    shown = "".join(_sample(sample, "sample good") for sample in report.kept[:KEPT_SHOWN])
    note = "Drawn by the hash of seed and id; every step let these through. Texts are shown after all edits."
    return f'<p class="note">{note}</p>{shown}' if shown else '<p class="note">Nothing was kept.</p>'


def _sample(sample: Sample, kind: str, note: str = "") -> str:
    """`note` is HTML."""
    length = "" if sample.characters is None else f" · {sample.characters:,} characters"
    link = excerpt(sample.url or sample.id, 160)
    text = excerpt(sample.text, EXCERPT) or "(no text)"
    title = f'<p class="url"><bdi dir="auto">{link}</bdi>{length}{note}</p>'
    return f'<div class="{kind}">{title}<p dir="auto">{text}</p></div>\n'
