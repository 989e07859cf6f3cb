"""A board as flat rows, for download as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from dclm.board.entry import Entry
from dclm.board.pages.multiplier import multiplier
from dclm.board.rank import rank_entries
from dclm.eval.suite import load_suite

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet reads text that begins with one of these as a formula."""


def rows(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """One row for each entry, in the order of the board, with the scores of all tasks."""
    tasks = load_suite("extended").labels
    return [_row(entry, tasks) for entry in rank_entries(entries)]


def to_csv(entries: Sequence[Entry]) -> str:
    """The rows as CSV. Unknown values are empty; text that a spreadsheet would read as a formula gets an apostrophe."""
    table = rows(entries)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(_row_names()), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def to_json(entries: Sequence[Entry]) -> str:
    """The rows as a JSON list."""
    return json.dumps(rows(entries), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _row(entry: Entry, tasks: Iterable[str]) -> dict[str, object]:
    result, training = entry.result, entry.result.training
    times = multiplier(result)
    return {
        "id": entry.id,
        "name": entry.shown,
        "full_name": result.name,
        "standing": entry.standing,
        "reasons": "; ".join(entry.reasons),
        "submitter": entry.submitter,
        "scale": training.scale,
        "track": result.track,
        "corpus": ", ".join(result.data.pools),
        "pipeline": result.data.pipeline,
        "params": training.params,
        "tokens": training.tokens,
        "flops": training.flops,
        "core_v1": result.core_v1,
        "core_v2": result.core_v2,
        "core_v2_stderr": result.core_v2_stderr,
        "core_bpb": result.core_bpb,
        "core_bpb_stderr": result.core_bpb_stderr,
        "extended_v1": result.extended_v1,
        "extended_v2": result.extended_v2,
        "extended_v2_stderr": result.extended_v2_stderr,
        "compute_multiplier": None if times is None else times.value,
        "compute_multiplier_low": None if times is None else times.low,
        "compute_multiplier_high": None if times is None else times.high,
        "compute_multiplier_extrapolated": None if times is None else times.extrapolated,
        "validation_loss": training.validation_loss,
        "source": result.imported,
        **{task: result.scores[task].score if task in result.scores else None for task in tasks},
    }


_FIELDS = (
    "id", "name", "full_name", "standing", "reasons", "submitter", "scale", "track", "corpus", "pipeline", "params",
    "tokens", "flops", "core_v1", "core_v2", "core_v2_stderr", "core_bpb", "core_bpb_stderr", "extended_v1",
    "extended_v2", "extended_v2_stderr", "compute_multiplier",
    "compute_multiplier_low", "compute_multiplier_high", "compute_multiplier_extrapolated", "validation_loss", "source",
)  # fmt: skip


def _row_names() -> tuple[str, ...]:
    return (*_FIELDS, *load_suite("extended").labels)


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
