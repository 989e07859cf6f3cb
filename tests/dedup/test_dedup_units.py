"""Exact deduplication of lines and paragraphs, against a dictionary."""

from __future__ import annotations

import pyarrow as pa
import pytest
from dedup_documents import make_shards
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.exact import Exact
from dclm.dedup.normalize import NORMALIZERS, normalize_column
from dclm.dedup.serial import apply, decide
from dclm.dedup.units import cut

SEPARATORS = {"line": "\n", "paragraph": "\n\n"}
PIECES = st.sampled_from(["", " ", "a", "A", " a\t", "b", "longer line", "Ä", "ä\x1f", "\n"])
TEXTS = st.lists(st.lists(PIECES, max_size=6), max_size=12)


def split(text: str, separator: str) -> list[str]:
    pieces = text.split(separator)
    return pieces if pieces[-1] else pieces[:-1]


def left(step: Exact, texts: list[str], shards: int = 3, rows: int = 4, **columns: list[str]) -> dict[str, str]:
    """The remaining texts, by id."""
    documents = make_shards(texts, shards, rows, **columns)
    batches = [b for shard in apply(decide(step, documents), documents) for b in shard]
    return {k: v for b in batches for k, v in zip(b["id"].to_pylist(), b["text"].to_pylist(), strict=True)}


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@given(TEXTS)
def test_units_are_those_of_split_and_their_spans_make_up_the_text(unit: str, pieces: list[list[str]]) -> None:
    texts = ["\n".join(p) for p in pieces]
    units = cut(pa.array(["x\n", *texts], pa.string())[1:], unit)  # type: ignore[arg-type]
    expected = [(row, piece) for row, text in enumerate(texts) for piece in split(text, SEPARATORS[unit])]
    assert list(zip(units.rows.tolist(), units.texts.to_pylist(), strict=True)) == expected
    joined = [""] * len(texts)
    for row, start, end in zip(units.rows.tolist(), units.starts.tolist(), units.ends.tolist(), strict=True):
        assert start == len(joined[row].encode()) < end
        joined[row] += texts[row].encode()[start:end].decode()
    assert joined == texts


@given(TEXTS, st.sampled_from(["line", "paragraph"]), st.booleans(), st.integers(0, 2), st.integers(1, 4))
def test_the_first_copy_in_all_documents_stays(
    pieces: list[list[str]], unit: str, normalized: bool, min_length: int, shards: int
) -> None:
    separator = SEPARATORS[unit]
    texts = ["\n".join(p) for p in pieces]
    seen: set[str] = set()
    expected = {}
    for number, text in enumerate(texts):
        kept = []
        parts = split(text, separator)
        for part in parts:
            key = part.strip().lower() if normalized else part
            if key not in seen or len(key) < min_length:
                kept.append(part)
            seen.add(key)
        if len(kept) == len(parts):
            expected[f"d{number}"] = text
        elif separator.join(kept).strip():
            expected[f"d{number}"] = separator.join(kept)
    step = Exact(of=unit, normalize="whitespace_and_lowercase" if normalized else None, min_length=min_length)  # type: ignore[arg-type]
    found = left(step, texts, shards)
    assert found.keys() == expected.keys()
    for name, text in expected.items():  # newlines at the end of a text or after its last line may be removed or not
        assert found[name].rstrip() == text.rstrip()


def test_what_is_left_are_the_lines_joined() -> None:
    texts = ["one\ntwo\nthree", "zero\ntwo\n four", "one\nfive \none", "three\n\n", "\none\ntwo"]
    left_of_lines = left(Exact(of="line", min_length=1), texts)
    assert left_of_lines == {"d0": texts[0], "d1": "zero\n four", "d2": "five"}


def test_the_document_decides_which_copy_of_a_line_stays() -> None:
    texts = ["shared\nold", "shared\nthe longest of all", "new\nshared"]
    dates = ["2019", "2020", "2021"]
    assert left(Exact(of="line", keep="newest"), texts, date=dates)["d0"] == "old"
    assert left(Exact(of="line", keep="newest"), texts, date=dates)["d2"] == texts[2]
    assert left(Exact(of="line", keep="longest"), texts)["d1"] == texts[1]
    kept = {tuple(sorted(left(Exact(of="line", keep="smallest_hash"), texts, s).items())) for s in (1, 2, 3)}
    assert len(kept) == 1


@pytest.mark.parametrize("texts", [[], [""], ["", "", " \n"], ["same line"] * 300, [str(i) for i in range(300)]])
def test_extreme_corpora_of_lines(texts: list[str]) -> None:
    found = left(Exact(of="line"), texts)
    assert len(found) == len(set(texts) - {""}) + texts.count("")  # an empty document has no lines


@given(st.lists(st.none() | st.text(max_size=8), max_size=8), st.sampled_from(sorted(NORMALIZERS)))
def test_columns_are_normalized_as_their_values(values: list[str | None], name: str) -> None:
    expected = [None if v is None else NORMALIZERS[name](v) for v in values]  # type: ignore[index]
    assert normalize_column(pa.array(values, pa.string()), name).to_pylist() == expected  # type: ignore[arg-type]
