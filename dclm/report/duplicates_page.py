"""The report on duplicates as one HTML page, in the style of the report on an artifact."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dclm import __version__
from dclm.charts.escape import escape, span
from dclm.charts.scroll import scrolled
from dclm.documents.duplicates import Cluster, Member
from dclm.documents.overlaps import read_overlaps
from dclm.report.duplicates import BINS, DuplicateReport
from dclm.report.overlaps import render_overlaps
from dclm.report.page import panel, render, tiles
from dclm.report.pictures.svg import BarPart, bar

MAX_WORDS = 1000
"""Number of words of each text to compare: the time grows quadratically."""
CONTEXT_WORDS = 8


def render_duplicates(report: DuplicateReport) -> str:
    """The page. The same report gives the same bytes."""
    overlaps = read_overlaps(report.record)
    sections = [
        tiles(
            [
                (f"{report.dropped:,}", "documents dropped as duplicates"),
                (f"{sum(clusters for clusters, _ in report.sizes.values()):,}", "documents kept instead"),
                (f"{report.in_index:,}", "of the dropped documents are in an index"),
            ]
        ),
        panel("Cluster sizes", _sizes(report)),
        panel("Similarity at the cut", _similarities(report)),
        panel("Other thresholds", _thresholds(report)),
        "" if overlaps is None else panel("Overlap of sources", render_overlaps(overlaps)),
        panel("Dropped by source", _overlaps(report)),
        panel("Domains that copy each other", _domains(report)),
        panel("Largest clusters", _clusters(report)),
    ]
    title = f"{report.record.name} · duplicates"
    header = f"<header><h1>{escape(report.record.name)}</h1><p>{report.index}. {escape(report.step)}</p></header>"
    footer = f"dclm {__version__} · documents {report.record.fingerprint[:16]}"
    return render(title, f"{header}\n<main>\n{''.join(sections)}</main>", footer)


def _none(text: str) -> str:
    return f'<p class="note">{text}</p>'


def _rows(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """A table: a first column of text (HTML), numbers, and HTML at the end."""
    shown = "".join(
        f'<tr><td class="text">{name}</td>{"".join(f"<td>{n}</td>" for n in numbers)}<td class="bar">{end}</td></tr>'
        for name, numbers, end in rows
    )
    titles = "".join(f"<th>{title}</th>" for title in head[1:])
    head_row = f'<tr><th class="text">{head[0]}</th>{titles}<th></th></tr>'
    return scrolled(f"<table><thead>{head_row}</thead><tbody>{shown}</tbody></table>", head[0])


def _sizes(report: DuplicateReport) -> str:
    most = max((documents for _, documents in report.sizes.values()), default=0)
    rows = [
        (size, (f"{clusters:,}", f"{documents:,}"), bar((BarPart("cut", documents),), most))
        for size, (clusters, documents) in report.sizes.items()
    ]
    return _rows(("documents in the cluster", "clusters", "documents"), rows)


def _similarities(report: DuplicateReport) -> str:
    most = max(report.similarities, default=0)
    if most == 0:
        return _none("The step computed no similarities.")
    first = next(i for i, count in enumerate(report.similarities) if count)
    rows = [
        (f"{place / BINS:.2f}–{(place + 1) / BINS:.2f}", (f"{count:,}",), bar((BarPart("cut", count),), most))
        for place, count in enumerate(report.similarities)
        if place >= first
    ]
    cut = "" if report.cut is None else f" The threshold is {report.cut:g}."
    note = f"Similarity of each dropped document to the kept one; not computed: {report.not_computed:,}.{cut}"
    return _none(note) + _rows(("similarity", "dropped"), rows)


def _thresholds(report: DuplicateReport) -> str:
    if not report.thresholds:
        return _none("The step kept no pairs. To keep them, set <code>pairs_from</code> of <code>minhash</code>.")
    most = max(t.dropped for t in report.thresholds)
    rows = []
    for level in report.thresholds:
        now = " (now)" if level.threshold == report.cut else ""
        rows.append((f"{level.threshold:g}{now}", (f"{level.dropped:,}",), bar((BarPart("cut", level.dropped),), most)))
    note = "Documents that other thresholds would drop, based on the pairs compared; candidates stay the same."
    return _none(note) + _rows(("threshold", "dropped"), rows)


def _overlaps(report: DuplicateReport) -> str:
    if not len(report.overlaps):
        return _none("No dropped document names the one kept instead.")
    rows = [
        (span(name), [f"{count:,}" if count else "" for count in counts], "")
        for name, counts in zip(report.sources, report.overlaps.tolist(), strict=True)
    ]
    head = ["dropped from ↓ · kept in →", *(span(name) for name in report.sources)]
    return _rows(head, rows)


def _domains(report: DuplicateReport) -> str:
    if not report.domains:
        return _none("No document was dropped in favor of one from another domain.")
    most = report.domains[0][2]
    rows = [
        (f"{span(gone)} → {span(stay)}", (f"{count:,}",), bar((BarPart("cut", count),), most))
        for gone, stay, count in report.domains
    ]
    return _rows(("dropped → kept", "documents"), rows)


def _clusters(report: DuplicateReport) -> str:
    return "".join(map(_cluster, report.largest)) or _none("The step kept no tables of clusters.")


def _cluster(item: tuple[Cluster, Sequence[Member]]) -> str:
    cluster, members = item
    title = f"<b>cluster {cluster.number}</b>"
    note = f'<span class="note">{cluster.documents:,} documents, {cluster.kept:,} kept</span>'
    lines = "".join(f"<li>{_headline(member)}</li>" for member in members)
    readable = [member for member in members if member.text is not None]
    diffs = "".join(_difference(readable[0], other) for other in readable[1:])
    if len(readable) < len(members):
        diffs += _none("Texts of dropped documents are not in the artifact. To show them, pass --pool.")
    return f"<details><summary>{title}{note}</summary><ul>{lines}</ul>{diffs}</details>\n"


def _headline(member: Member) -> str:
    near = "" if member.jaccard is None else f" · {member.jaccard:.3f}"
    return f"{'kept' if member.kept else 'dropped'}{near} · {span(member.url or member.source)}"


def _difference(first: Member, second: Member) -> str:
    a, b = ((member.text or "").split()[:MAX_WORDS] for member in (first, second))
    parts = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(escape(_shortened(a[i:j])))
            continue
        parts += [f"<del>{escape(' '.join(a[i:j]))}</del>"] if j > i else []
        parts += [f"<ins>{escape(' '.join(b[k:m]))}</ins>"] if m > k else []
    title = f'<p class="url">{span(first.id)} → {span(second.id)}</p>'
    return f'<div class="sample">{title}<p dir="auto">{" ".join(parts)}</p></div>\n'


def _shortened(words: Sequence[str]) -> str:
    if len(words) <= 3 * CONTEXT_WORDS:
        return " ".join(words)
    ends = (" ".join(words[:CONTEXT_WORDS]), " ".join(words[-CONTEXT_WORDS:]))
    return f"{ends[0]} … {len(words) - 2 * CONTEXT_WORDS:,} words … {ends[1]}"
