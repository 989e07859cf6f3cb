"""Spans removed from texts, compared with slices of Python bytes."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.text.spans import Spans, remove_spans, without_spans

TEXTS = st.lists(st.text(st.sampled_from("ab \n\u3000ä"), max_size=12), max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Texts, and spans of bytes (row, start, end) between their characters, in any order."""
    texts = draw(TEXTS)
    spans = []
    for row, text in enumerate(texts):
        for a, b in draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))), max_size=4)):
            cut = sorted((len(text[:a].encode()), len(text[:b].encode())))
            spans.append((row, *cut))
    return texts, draw(st.permutations(spans))


def table(spans: list[tuple[int, int, int]]) -> pa.Table:
    columns = {name: pa.array([s[i] for s in spans], pa.int64()) for i, name in enumerate(("row", "start", "end"))}
    return pa.table(columns)


def expected(text: str, spans: list[tuple[int, int]]) -> tuple[str, int]:
    data = text.encode()
    gone = {i for a, b in spans for i in range(a, b)}
    left = bytes(c for i, c in enumerate(data) if i not in gone).decode()
    merged: list[list[int]] = []
    for a, b in sorted(s for s in spans if s[0] < s[1]):
        if merged and a < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], b)
        else:
            merged.append([a, b])
    return (left.rstrip() if len(data) - 1 in gone else left), len(merged)


@settings(deadline=None)
@given(documents(), st.integers(0, 3))
def test_what_is_left_is_what_slices_leave(given_: tuple[list[str], list[tuple[int, int, int]]], before: int) -> None:
    texts, spans = given_
    column = pa.array(["before"] * before + texts, pa.string())[before:]
    edited = remove_spans(column, Spans.of(table(spans)))
    answers = [expected(t, [s[1:] for s in spans if s[0] == row]) for row, t in enumerate(texts)]
    assert edited.texts.to_pylist() == [text for text, _ in answers]
    assert edited.counts.tolist() == [count for _, count in answers]
    assert edited.blank.tolist() == [count > 0 and not text.strip() for text, count in answers]


def test_only_spans_of_the_batch_are_removed() -> None:
    batch = pa.RecordBatch.from_pydict({"_row": pa.array([3, 7, 8]), "text": ["abc", "def", " "]})
    spans = Spans.of(table([(9, 0, 1), (7, 1, 2), (4, 0, 9), (3, 0, 3), (0, 0, 1)]))
    edited = without_spans(batch, spans)
    assert edited.select(["text", "_edits", "_drop"]).to_pylist() == [
        {"text": "", "_edits": 1, "_drop": True},
        {"text": "df", "_edits": 1, "_drop": False},
        {"text": " ", "_edits": 0, "_drop": False},  # it was blank before
    ]
    assert without_spans(batch, Spans.of(table([(4, 0, 1), (9, 0, 1)]))) is batch
    assert without_spans(batch.slice(0, 0), spans).num_rows == 0
