"""Bloom deduplication compared with the rules on Python's strings and an exact set."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pytest
from dedup_documents import Shards, make_shards
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.dedup.bloom import step as bloom
from dclm.dedup.bloom.filter import empty_filter, size_for
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.serial import run_ordered

Grams = list[tuple[str, ...]]


def split_paragraphs(text: str) -> list[str]:
    first, *rest = text.split("\n")
    return [first, *("\n" + part for part in rest)]


def ngrams(words: list[str], low: int, high: int) -> Grams:
    if len(words) >= high:
        return [tuple(words[i : i + high]) for i in range(len(words) - high + 1)]
    return [tuple(words)] if len(words) >= low and words else []


def expected_units(text: str, step: Bloom, seen: set[tuple[str, ...]]) -> tuple[str, int]:
    """Modes paragraph, document and old-both; words are separated by spaces only."""
    units = [text] if step.mode == "document" else split_paragraphs(text)
    kept, total, total_known = [], 0, 0
    for unit in units:
        grams = ngrams(unit.split(), step.min_ngram, step.max_ngram)
        known = sum(gram in seen for gram in grams)
        total, total_known = total + len(grams), total_known + known
        if grams and known / len(grams) > step.threshold:
            continue
        seen.update(grams)
        kept.append(unit)
    if step.mode == "old-both" and total and total_known / total > step.threshold:
        return "", len(units)
    return "".join(kept), len(units) - len(kept)


def expected_both(text: str, step: Bloom, seen: set[tuple[str, ...]]) -> tuple[str, int]:
    units = split_paragraphs(text)
    place = [i for i, unit in enumerate(units) for _ in unit.split()]
    words = text.split()
    grams = ngrams(words, step.min_ngram, step.max_ngram)
    if not grams:
        return text, 0
    known = [gram in seen for gram in grams]
    if sum(known) / len(grams) >= step.threshold:
        return "", len(units)
    touched = [set(place[i : i + len(gram)]) for i, gram in enumerate(grams)]
    gone = set()
    for unit in range(len(units)):
        mine = [k for k, where in zip(known, touched, strict=True) if where == {unit}]
        if mine and len(words) >= step.max_ngram and sum(mine) / len(mine) >= step.threshold:
            gone.add(unit)
    seen.update(gram for gram, where in zip(grams, touched, strict=True) if not where & gone)
    return "".join(unit for i, unit in enumerate(units) if i not in gone).rstrip(), len(gone)


def expected(texts: list[str], step: Bloom) -> list[tuple[str, bool, int]]:
    seen: set[tuple[str, ...]] = set()
    out = []
    for text in texts:
        if step.mode == "exact":
            key = (text,)
            left, edits = ("", 1) if key in seen else (text, 0)
            seen.add(key)
        else:
            left, edits = (expected_both if step.mode == "both" else expected_units)(text, step, seen)
        out.append((left, not left.strip(), edits))
    return out


def outcome(step: Bloom, shards: Shards) -> list[tuple[str, bool, int]]:
    return [
        (row["text"], row["_drop"], row["_edits"])
        for shard in run_ordered(step, shards)
        for batch in shard
        for row in batch.to_pylist()
    ]


PARAGRAPH = st.lists(st.sampled_from(["a", "b", "c", "dd", "é"]), max_size=9).map(" ".join)
TEXTS = st.lists(st.lists(PARAGRAPH, max_size=5).map("\n".join), max_size=12)


@given(
    TEXTS,
    st.sampled_from(["paragraph", "document", "old-both", "both", "exact"]),
    st.sampled_from([(1, 1), (2, 2), (1, 3), (2, 4), (5, 5)]),
    st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    st.integers(1, 5),
)
def test_decisions_are_those_of_an_exact_set(
    texts: list[str], mode: bloom.Mode, bounds: tuple[int, int], threshold: float, rows: int
) -> None:
    step = Bloom(mode=mode, min_ngram=bounds[0], max_ngram=bounds[1], threshold=threshold, fp_rate=1e-9)
    assert outcome(step, make_shards(texts, 1, rows)) == expected(texts, step)


def test_partitions_do_not_see_each_other() -> None:
    text = " ".join("abcdefghijklmnop")
    documents = make_shards([text] * 4, shards=4)
    dropped = [drop for _, drop, _ in outcome(Bloom(fp_rate=1e-9, partitions=2), documents)]
    assert dropped == [False, False, True, True]


def test_a_paragraph_too_short_for_an_ngram_always_stays() -> None:
    step = Bloom(fp_rate=1e-9)
    assert outcome(step, make_shards(["one two\nthree"] * 3)) == [("one two\nthree", False, 0)] * 3


def test_a_repeated_paragraph_of_one_document_goes_with_its_newline() -> None:
    line = " ".join(f"w{i}" for i in range(15))
    other = " ".join(f"v{i}" for i in range(60))
    assert outcome(Bloom(), make_shards([f"{line}\n{other}\n{line}\nend"])) == [(f"{line}\n{other}\nend", False, 1)]


def test_white_space_alone_is_dropped() -> None:
    texts = ["", " \n\u3000", "x", "\x1c"]  # the last is whitespace to Python's strings, not to Unicode
    assert [drop for _, drop, _ in outcome(Bloom(), make_shards(texts))] == [True, True, False, False]


@pytest.mark.parametrize("fp_rate", [0.01, 1e-9])
def test_the_memory_a_plan_states_is_what_the_filter_takes(fp_rate: float) -> None:
    stated = float(Bloom(fp_rate=fp_rate).memory.split()[0])
    assert empty_filter(size_for(200_000, fp_rate)).nbytes == pytest.approx(200_000 * stated, rel=0.01)


def test_a_filter_that_does_not_fit_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from dclm.curate.step import Context

    monkeypatch.setattr(bloom, "room_bytes", lambda: 900_000_000)
    with pytest.raises(
        ConfigError, match=r"1,000,000,000,000 n-grams .* need 1.24 TB; 900 MB available\n.*partitions: 2750,"
    ):
        Bloom(partitions=2).begin(Context(), 10**12, 0)


@pytest.mark.parametrize(
    "fields", ["min_ngram: 14", "mode: naive-both", "fp_rate: 0", "threshold: 1.5", "partitions: 0"]
)
def test_wrong_fields_are_named(fields: str) -> None:
    with pytest.raises(ConfigError):
        build(Bloom, parse_yaml(fields))


def test_the_count_is_that_of_what_can_be_inserted() -> None:
    from dclm.curate.step import Context

    texts = ["a b c d\ne f\r\ng h i j k", "", "\n", "a"]
    batch = make_shards(texts, 1)[0][0]
    counts = {
        mode: Bloom(mode=mode, min_ngram=2, max_ngram=3).measure(Context())(batch)
        for mode in ("paragraph", "document", "old-both", "both", "exact")
    }
    assert counts == {"paragraph": 6, "document": 9, "old-both": 6, "both": 9, "exact": 4}


def fingerprints(step: Bloom, texts: list[str]) -> list[str | None]:
    return [
        None if drop else hashlib.sha256(text.encode()).hexdigest()[:16]
        for text, drop, _ in outcome(step, make_shards(texts, 1, 600))
    ]


@pytest.mark.shared
@pytest.mark.parametrize("setting", range(6))
def test_texts_equal_those_of_bff_with_an_exact_set(
    setting: int, known_texts: list[str], known_duplicates: dict[str, list[Any]]
) -> None:
    known = known_duplicates["bff"][setting]
    fields = {name: known[name] for name in ("mode", "min_ngram", "max_ngram", "threshold")}
    assert fingerprints(Bloom(**fields, fp_rate=1e-9), known_texts) == known["sha"]
    rough = fingerprints(Bloom(**fields, fp_rate=0.01), known_texts)
    assert sum(a != b for a, b in zip(rough, known["sha"], strict=True)) <= 0.01 * len(known_texts)


def test_empty_batches_keep_their_schema() -> None:
    (batch,) = run_ordered(Bloom(), make_shards([], 1))[0]
    assert batch.num_rows == 0
    assert batch.schema.field("text").type == pa.string()
