"""The waterfall of a report: documents, characters and tokens after each step."""

from __future__ import annotations

from dclm.charts.escape import excerpt, span
from dclm.charts.scroll import scrolled
from dclm.documents.artifact import StepRow
from dclm.report.build import Report
from dclm.report.pictures.svg import BarPart, bar, short

_HEADS = (
    ("", ""), ("step", "text"), ("", ""), ("in", ""), ("dropped", ""), ("of these", ""), ("rejected", ""),
    ("edits", ""), ("out", ""), ("characters", ""), ("tokens ≈", ""),
)  # fmt: skip


def render_waterfall(report: Report) -> str:
    """The section. Documents and characters are exact; tokens are estimated, as explained below the table."""
    heads = "".join(f'<th class="{kind}">{name}</th>' if kind else f"<th>{name}</th>" for name, kind in _HEADS)
    rows = "".join(_row(step, report) for step in report.artifact.steps)
    body = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    table = scrolled(body, "Documents, characters and tokens after each step", far=True)
    return f'<section class="panel"><h2>Step by step</h2>{table}<p class="note">{_note(report)}</p></section>\n'


def _row(step: StepRow, report: Report) -> str:
    parts = (BarPart("kept", step.documents_out), BarPart("cut", step.dropped), BarPart("reject", step.rejected))
    share = f"{step.dropped / step.documents_in:.1%}" if step.dropped else ""
    tokens = "" if report.tokens is None else short(report.tokens.out[step.index])
    numbers = (
        f"{step.documents_in:,}",
        _some(step.dropped),
        share,
        _some(step.rejected),
        _some(step.edits),
        f"{step.documents_out:,}",
        f"{step.characters_out:,}",
        tokens,
    )
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    settings = f'<small><bdi dir="auto">{excerpt(step.settings, 160)}</bdi></small>' if step.settings else ""
    picture = f'<td class="bar">{bar(parts, report.artifact.count("read"))}</td>'
    index = "" if step.index < 0 else str(step.index)
    return f'<tr><td>{index}</td><td class="text wide">{span(step.name)}{settings}</td>{picture}{cells}</tr>\n'


def _some(number: int) -> str:
    return f"{number:,}" if number else ""


def _note(report: Report) -> str:
    text = (
        "Documents and characters are exact counts. Characters are code points of the text after the step, and are"
        " unknown before a step extracts text from pages. "
    )
    estimate = report.tokens
    if estimate is None:
        return text + "Tokens are not estimated: no tokenizer was requested, or nothing was kept."
    return text + (
        f"Tokens are estimated: {span(estimate.tokenizer)} makes {estimate.tokens_per_byte:.4f} tokens per byte of"
        f" {estimate.documents:,} kept documents, drawn by hash (standard error {estimate.relative_error:.2%})."
        " Dropped documents use the rate of their step's few samples; text removed by edits uses the rate of kept text."
    )
