"""The section of a report about cuts: what each filter measured, and what another cut would drop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dclm.charts.escape import escape
from dclm.curate.quantity import Counts, Values
from dclm.documents.cuts import NOTHING, Measured, is_wide, spread
from dclm.report.pictures.histogram import BINS, Cut, Histogram
from dclm.report.pictures.svg import draw_histogram, swatch

_NOTE = (
    "What each filter measured on the documents that entered its step; the dashed line is the cut of the run. The"
    " tables show what another cut would drop: documents that pass all other rules of the step, so that this rule"
    " decides. Later steps may drop some of the documents that a milder cut keeps. Some axes are logarithmic."
)
_LEGEND = f'<ul class="legend"><li>{swatch("kept")}passes</li><li>{swatch("cut")}fails</li></ul>'


def render_cuts(rules: Sequence[Measured]) -> str:
    """The section's content as HTML; untrusted text is escaped."""
    figures = "".join(map(_figure, rules))
    if not figures:
        return f'<p class="note">{NOTHING}</p>'
    return f'<p class="note">{escape(_NOTE)}</p>{_LEGEND}<div class="grid">{figures}</div>'


def _figure(rule: Measured) -> str:
    picture = _picture(rule)
    if picture is None:
        return ""
    numbers = f"{rule.num_documents:,} documents, {int(rule.fails.sum()):,} fail, {rule.dropped:,} by this rule alone"
    numbers += f"; {rule.no_value:,} without a value" if rule.no_value else ""
    title = f"{rule.index}. {rule.name} {rule.condition}"
    drawn = draw_histogram(picture, f"Distribution of {rule.name}: {numbers}. Kept if {rule.condition}.")
    return f'<figure><h3>{escape(title)}</h3>{drawn}<p class="note">{escape(numbers)}</p>{_table(rule)}</figure>'


def _picture(rule: Measured) -> Histogram | None:
    logarithmic = is_wide(rule)
    found = spread(rule, BINS, logarithmic)
    if found is None:
        return None
    low, high = (None, rule.cut) if rule.side == "max" else (rule.cut, None)
    cuts = () if rule.cut is None else (Cut(step=rule.index, column=rule.rule, label=rule.step, low=low, high=high),)
    return Histogram(
        name=rule.name,
        low=found.low,
        high=found.high,
        logarithmic=logarithmic,
        kept=_whole(found.passes),
        cut=_whole(found.fails),
        other=np.zeros(BINS, np.int64),
        missing=rule.no_value,
        cuts=cuts,
    )


def _whole(counts: Values) -> Counts:
    """Heights of bars: whole numbers, of which those with anything in them are at least 1."""
    return np.asarray(np.where(counts > 1e-9, np.maximum(np.rint(counts), 1), 0), np.int64)


def _table(rule: Measured) -> str:
    rows = [(other.cut, other.dropped, f"{other.change:+,}") for other in rule.others()]
    if rule.cut is not None:
        rows = sorted([*rows, (rule.cut, rule.dropped, "the run")])
    if not rows:
        return ""
    shown = "".join(f"<tr><td>{cut:g}</td><td>{dropped:,}</td><td>{change}</td></tr>" for cut, dropped, change in rows)
    head = "<tr><th>if the cut were</th><th>dropped</th><th>more or fewer</th></tr>"
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{shown}</tbody></table></div>'
