"""Pages inside longer ones, and near-copies in languages without spaces: planted pairs are found, others are not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from dedup_documents import ids, make_shards, replaced, table
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.minhash.bands import Bands
from dclm.dedup.minhash.leaders import find_leaders
from dclm.dedup.minhash.shingles import Unit, text_shingles
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide, drop

SETS = st.lists(st.sets(st.integers(0, 12), min_size=1), min_size=1, max_size=12)
INSIDE = MinHash(bands=60, rows=1, ngram=3, verify=0.8, measure="containment")


@given(SETS, st.floats(0.05, 1))
def test_what_goes_is_contained_in_what_stays(sets: list[set[int]], threshold: float) -> None:
    sets.sort(key=len, reverse=True)
    arrays = [np.array(sorted(s), np.uint64) for s in sets]
    offsets = np.cumsum([0, *map(len, arrays)])
    leaders = find_leaders(
        np.zeros(len(sets), np.uint64), offsets, np.concatenate(arrays), threshold, "containment"
    ).tolist()
    expected: list[bool] = []
    for i, mine in enumerate(sets):
        near = [j for j in range(i) if expected[j] and len(mine & sets[j]) / len(mine) >= threshold]
        expected.append(not near)
        assert leaders[i] in near if near else leaders[i] == i


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [f"w{draw.randrange(10**6)}" for _ in range(count)]


def test_a_page_inside_a_longer_one_goes_wherever_it_stands() -> None:
    long, other = words(1, 300), words(2, 300)
    page = long[100:150]
    texts = [" ".join(t) for t in (page, long, other, ["new", *page, "end"], [*page, *words(3, 50)], long[:299])]
    documents = make_shards(texts)
    decision = decide(INSIDE, documents)
    found = replaced(decision, documents)
    assert ids(drop(decision, documents)) == [1, 2, 4]
    assert {found[0], found[3]} <= {1, 4}  # both contain all of the page
    assert found[5] == 1
    edges = {e["row"] + 2 * e["shard"]: e["containment"] for e in table(decision, "edges").to_pylist()}
    sets = [set(s.tolist()) for s in text_shingles(texts, 3)]
    assert edges == {g: len(sets[g] & sets[k]) / len(sets[g]) for g, k in found.items()}
    by_jaccard = MinHash(bands=60, rows=1, ngram=3, verify=0.8)
    assert replaced(decide(by_jaccard, documents), documents).keys() == {3, 5}


def test_of_pages_of_one_size_the_preferred_stays() -> None:
    a = words(1, 60)
    documents = make_shards([" ".join(a), " ".join([*a[:-1], "longer-word-at-the-end"]), " ".join(a)])
    assert replaced(decide(INSIDE, documents), documents) == {1: 0, 2: 0}
    longest = MinHash(bands=60, rows=1, ngram=3, verify=0.8, measure="containment", keep="longest")
    assert replaced(decide(longest, documents), documents) == {0: 1, 2: 1}


def test_containment_needs_verification() -> None:
    with pytest.raises(ValueError, match="needs `verify`"):
        MinHash(measure="containment")


def test_the_stated_probability_is_that_of_planted_pages() -> None:
    bands, ratio, pairs = Bands(bands=20, rows=2), 4, 300
    texts: list[str] = []
    for number in range(pairs):
        long = words(number, 400)
        texts += [" ".join(long), " ".join(long[:100])]
    documents = make_shards(texts)
    found = replaced(decide(MinHash(bands=20, rows=2, ngram=1), documents), documents)
    sizes = [len(s) for s in text_shingles(texts[:2], 1)]
    expected = bands.found_contained(1.0, sizes[0] / sizes[1])
    assert abs(len(found) / pairs - expected) < 4 * (expected * (1 - expected) / pairs) ** 0.5
    assert bands.found_contained(1.0, 1.0) == 1.0
    assert bands.found_contained(0.5, ratio) == pytest.approx(bands.found(0.5 / 4.5))


SCRIPTS = {
    "Chinese": [chr(c) for c in range(0x4E00, 0x4E00 + 2000)],
    "Japanese": [chr(c) for c in (*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), *range(0x5000, 0x5000 + 800))],
    "Thai": [chr(c) for c in range(0x0E01, 0x0E2F)] + [chr(c) for c in range(0x0E30, 0x0E3A)],
}


def planted(language: str, seed: int, edits: int) -> tuple[str, str]:
    """A text of 400 characters in clauses without spaces, and a copy with this many changed characters."""
    draw = random.Random(f"{language} {seed}")
    alphabet = SCRIPTS[language]
    stop = " " if language == "Thai" else "，"
    clauses = ["".join(draw.choices(alphabet, k=draw.randrange(10, 25))) for _ in range(24)]
    text = stop.join(clauses)[:400]
    changed = list(text)
    for at in draw.sample([i for i, c in enumerate(text) if c != stop], edits):
        changed[at] = draw.choice(alphabet)
    return text, "".join(changed)


def recall(language: str, unit: Unit, edits: int = 8) -> tuple[float, int]:
    """The fraction of planted pairs that a verified step finds, and how many other documents it drops."""
    pairs = [planted(language, seed, edits) for seed in range(40)]
    documents = make_shards([text for pair in pairs for text in pair])
    step = MinHash(bands=30, rows=4, unit=unit, ngram=5, verify=0.6)
    found = replaced(decide(step, documents), documents)
    hits = sum(found.get(2 * i + 1) == 2 * i for i in range(len(pairs)))
    return hits / len(pairs), len(found) - hits


@pytest.mark.parametrize("language", SCRIPTS)
def test_script_shingles_find_near_copies_that_words_miss(language: str) -> None:
    assert recall(language, "script") >= (0.95, 0)
    assert recall(language, "script")[1] == 0
    assert recall(language, "word")[0] <= 0.3
