"""Edits of a whole page: citation marks, and lines or paragraphs that it repeats."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import lengths, strings, to_list
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_edits

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")


def edit_pages(
    batch: pa.RecordBatch, wanted: pa.BooleanArray, edit: Callable[[str], tuple[str, int]], drop_empty: bool
) -> pa.RecordBatch:
    """The batch with `edit` (page → page, number of edits) applied to the wanted rows.

    With `drop_empty`, every row whose text is then empty is dropped; otherwise none is.
    """
    text, edits = strings(batch["text"]), np.zeros(len(batch), np.int64)
    if pc.any(wanted, min_count=0).as_py():
        pages = [edit(page) for page in to_list(text.filter(wanted))]
        text = pc.replace_with_mask(text, wanted, pa.array([page for page, _ in pages], pa.string()))
        edits[wanted.to_numpy(zero_copy_only=False)] = [count for _, count in pages]
    drop = pc.and_(pc.equal(lengths(text), pa.scalar(0)), pa.scalar(drop_empty))
    return with_edits(batch, text, pa.array(edits), drop)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Citations(Map):
    """Deletes Wikipedia's `[1]`, `[]`, `[edit]` and `[citation needed]`; a page left empty is dropped.

    Source: C4; DCLM's `citation_removal_modifier`.
    """

    name: ClassVar[str] = "citations"

    def open(self, context: Context) -> MapFunction:
        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            marked = pc.match_substring(batch["text"], "[")
            return edit_pages(batch, marked, lambda page: _CITATION.subn("", page), drop_empty=True)

        return edit


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithinPageDedup(Map):
    """Keeps the first copy of each repeated line or paragraph of a page, and all empty ones. Drops no page.

    Source: DCLM's `within_page_dedup`.
    """

    name: ClassVar[str] = "within_page_dedup"

    granularity: Literal["line", "paragraph"] = "line"
    """Paragraphs are separated by two newlines in a row."""
    normalize: bool = True
    """Compare stripped and in lower case."""

    def open(self, context: Context) -> MapFunction:
        separator = "\n" if self.granularity == "line" else "\n\n"

        def dedup(page: str) -> tuple[str, int]:
            seen: set[str] = set()
            kept = []
            pieces = page.split(separator)
            for piece in pieces:
                key = piece.strip().lower() if self.normalize else piece
                if key not in seen:
                    kept.append(piece)
                    if key:
                        seen.add(key)
            return separator.join(kept), len(pieces) - len(kept)

        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            several = pc.match_substring(batch["text"], separator)
            return edit_pages(batch, several, dedup, drop_empty=False)

        return edit
