"""MinHash deduplication: the stated probabilities, verification, and corpora at the extremes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import ids, make_shards, replaced, table
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.dedup.hashing import mix
from dclm.dedup.minhash import decision as minhash
from dclm.dedup.minhash.leaders import find_leaders, jaccard_reaches
from dclm.dedup.minhash.lsh import band_keys
from dclm.dedup.minhash.shingles import text_shingles
from dclm.dedup.minhash.signatures import Signatures
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide, drop


def make_text(seed: int, words: int = 60) -> str:
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(5000)}" for _ in range(words))


def change(text: str, seed: int, edits: int) -> str:
    draw = random.Random(seed)
    words = text.split()
    for _ in range(edits):
        words[draw.randrange(len(words))] = f"x{draw.randrange(10**6)}"
    return " ".join(words)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    shared = len(np.intersect1d(a, b))
    return shared / (len(a) + len(b) - shared)


def test_copies_with_other_case_and_spacing_are_duplicates() -> None:
    texts = [make_text(0), make_text(1), make_text(0).upper().replace(" ", "\n"), make_text(2)]
    documents = make_shards(texts)
    for step in (MinHash(), MinHash(verify=1.0), MinHash(bits=32), MinHash(unit="character", bands=4, rows=4)):
        assert replaced(decide(step, documents), documents) == {2: 0}


@pytest.mark.parametrize("verify", [None, 0.8])
def test_results_do_not_depend_on_batches(verify: float | None) -> None:
    texts = [change(make_text(i % 20), i, i % 5) for i in range(90)]
    decisions = [decide(MinHash(bands=20, rows=5, verify=verify), make_shards(texts, 3, rows)) for rows in (1, 11, 90)]
    assert decisions[0].drops.num_rows > 10
    for other in decisions[1:]:
        assert other.drops.equals(decisions[0].drops)
        assert table(other, "clusters").equals(table(decisions[0], "clusters"))
        assert other.info == decisions[0].info


def test_everything_one_duplicate() -> None:
    documents = make_shards([make_text(0)] * 3000, shards=5, rows=500)
    for step in (MinHash(bands=5, rows=3), MinHash(bands=5, rows=3, verify=0.9)):
        decision = decide(step, documents)
        assert ids(drop(decision, documents)) == [0]
        assert decision.info["largest_cluster"] == 3000


def test_nothing_duplicate_and_documents_without_words() -> None:
    documents = make_shards([make_text(i) for i in range(100)] + ["", " \n", "", "!"])
    for step in (MinHash(), MinHash(verify=0.5)):
        assert len(ids(drop(decide(step, documents), documents))) == 104


def test_no_documents_at_all() -> None:
    for step in (MinHash(), MinHash(verify=0.5)):
        decision = decide(step, make_shards([]))
        assert decision.drops.num_rows == 0
        assert table(decision, "clusters").num_rows == 0


def test_documents_shorter_than_the_ngram_are_compared_whole() -> None:
    documents = make_shards(["a b", "A  B", "a b c", "b a"])
    assert replaced(decide(MinHash(), documents), documents) == {1: 0}


def test_chains_merge_without_verification_and_not_with_it() -> None:
    chain = [make_text(0, 200)]
    for seed in range(1, 12):
        chain.append(change(chain[-1], seed, 3))
    documents = make_shards(chain)
    loose = MinHash(bands=60, rows=3)
    assert ids(drop(decide(loose, documents), documents)) == [0]
    strict = MinHash(bands=60, rows=3, verify=0.8)
    decision = decide(strict, documents)
    sets = text_shingles(chain, 5)
    assert decision.drops.num_rows > 0
    for gone, kept in replaced(decision, documents).items():
        assert jaccard(sets[gone], sets[kept]) >= 0.8
    stays = ids(drop(decision, documents))
    assert all(jaccard(sets[a], sets[b]) < 0.8 for a in stays for b in stays if a < b)


def test_the_size_of_clusters_can_be_capped() -> None:
    documents = make_shards([make_text(0)] * 50)
    decision = decide(MinHash(bands=2, rows=2, max_cluster=10), documents)
    assert decision.info["largest_cluster"] == 10
    assert decision.info["duplicates"] == 9


def test_identical_copies_follow_the_document_they_equal() -> None:
    base = make_text(0, 100)
    near, far = change(base, 1, 1), change(base, 2, 12)
    documents = make_shards([base, far, near, near, far, base])
    decision = decide(MinHash(bands=100, rows=2, verify=0.8), documents)
    assert replaced(decision, documents) == {2: 0, 3: 0, 4: 1, 5: 0}
    clusters = table(decision, "clusters").to_pylist()
    assert [c["cluster"] for c in clusters] == [0, 0, 0, 0, 1, 1]
    assert [c["kept"] for c in clusters] == [True, False, False, False, True, False]
    edges = table(decision, "edges").to_pylist()
    assert [e["cluster"] for e in edges] == [0, 0, 0, 1]
    sets = text_shingles([base, far, near], 5)
    near_index = jaccard(sets[0], sets[2])
    assert [e["jaccard"] for e in edges] == pytest.approx([near_index, near_index, 1.0, 1.0])
    loose = table(decide(MinHash(bands=100, rows=2), documents), "edges")
    assert loose.column("jaccard").null_count == loose.num_rows == 5


def test_a_decision_that_memory_does_not_allow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = make_shards([make_text(i % 10) for i in range(40)])
    monkeypatch.setattr(minhash, "room_bytes", lambda: 40 * 100)
    assert decide(MinHash(), documents).drops.num_rows == 30
    monkeypatch.setattr(minhash, "room_bytes", lambda: 40 * 100 - 1)
    with pytest.raises(ConfigError, match=r"40 documents with candidates need 4 kB; 4 kB available"):
        decide(MinHash(), documents)


SETS = st.sets(st.integers(0, 12), max_size=10)


@given(SETS, SETS, st.floats(0, 1))
def test_jaccard_is_compared_exactly(a: set[int], b: set[int], threshold: float) -> None:
    if a | b:
        x, y = np.array(sorted(a), np.uint64), np.array(sorted(b), np.uint64)
        exact = len(a & b) / len(a | b)
        assert jaccard_reaches(x, y, threshold) == (exact >= threshold)
        assert jaccard_reaches(x, y, exact)
        assert exact == 1 or not jaccard_reaches(x, y, float(np.nextafter(exact, 1)))


def test_leaders_are_sought_within_their_cluster_only() -> None:
    keys = np.array([1, 1, 2, 2], np.uint64)
    values = np.array([5, 5, 5, 6], np.uint64)
    assert find_leaders(keys, np.arange(5), values, 0.5).tolist() == [0, 0, 2, 3]


@given(st.lists(SETS.filter(bool), min_size=1, max_size=16), st.floats(0.05, 1))
def test_who_stays_is_far_from_all_others_that_stay(sets: list[set[int]], threshold: float) -> None:
    arrays = [np.array(sorted(s), np.uint64) for s in sets]
    offsets = np.cumsum([0, *map(len, arrays)])
    leaders = find_leaders(np.zeros(len(sets), np.uint64), offsets, np.concatenate(arrays), threshold).tolist()
    stays = [i for i, leader in enumerate(leaders) if leader == i]
    for i, leader in enumerate(leaders):
        assert leader in stays
        assert leader == i or (leader < i and jaccard(arrays[i], arrays[leader]) >= threshold)
    assert all(jaccard(arrays[a], arrays[b]) < threshold for a in stays for b in stays if a < b)


@pytest.mark.parametrize("boilerplate", [False, True])
def test_a_huge_cluster_in_which_nobody_is_near_costs_no_square(boilerplate: bool) -> None:
    count, size = 300_000, 8
    draw = np.random.default_rng(0)
    sets = np.sort(draw.integers(1000, 2**63, (count, size)).astype(np.uint64), axis=1)
    if boilerplate:
        sets[:, 0] = 7
    sets[-1, :] = sets[5]
    offsets = np.arange(count + 1) * size
    leaders = find_leaders(np.zeros(count, np.uint64), offsets, sets.reshape(-1), 0.8)
    assert np.flatnonzero(leaders != np.arange(count)).tolist() == [count - 1]
    assert leaders[-1] == 5


@pytest.mark.shared
def test_shingle_sets_have_the_reference_jaccard(
    known_texts: list[str], known_duplicates: dict[str, list[Any]]
) -> None:
    sets = text_shingles(known_texts, 5)
    for a, b, expected in known_duplicates["jaccard_pairs"]:
        assert jaccard(sets[a], sets[b]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_a_key_hashes_the_values_of_its_band(bands: int, kind: type[np.unsignedinteger]) -> None:
    rows, draw = 3, np.random.default_rng(bands)
    values = draw.integers(0, np.iinfo(kind).max, (5, bands * rows + 1), kind)
    counts = np.array([2, 0, 1, 0, 7])
    keys, places = band_keys(Signatures(values, counts, np.zeros(5, np.uint64)), bands, rows)
    wanted = []
    for document in (0, 2, 4):
        for band in range(bands):
            h = int(mix(np.uint64(band + 1)))
            for value in values[document, band * rows : (band + 1) * rows].tolist():
                h = (int(mix(np.uint64(h ^ value))) + 0x9E3779B97F4A7C15) % 2**64
            wanted.append(h)
    assert keys.tolist() == wanted
    assert places.tolist() == np.repeat([0, 2, 4], bands).tolist()


@pytest.mark.shared
def test_recall_follows_the_formula(known_texts: list[str], known_duplicates: dict[str, list[Any]]) -> None:
    """Pairs found by 93 × 15 among those of each Jaccard bin: 1 − (1 − s¹⁵)⁹³ within 4 standard deviations."""
    from dclm.dedup.minhash.alphabet import alphabet
    from dclm.dedup.minhash.signatures import permutations, signatures
    from dclm.text.buffers import utf8

    column = utf8(pa.array(known_texts, pa.string()))
    bins: dict[int, list[tuple[float, float]]] = {}
    for seed in (1, 2, 3):
        found = signatures(column, alphabet("lower"), True, 5, permutations(93 * 15, seed, 64))
        keys, places = band_keys(found, 93, 15)
        by_document = {
            int(d): set(keys[places == d].tolist())
            for d in {d for p in known_duplicates["jaccard_pairs"] for d in p[:2]}
        }
        for a, b, s in known_duplicates["jaccard_pairs"]:
            bins.setdefault(int(s * 10), []).append((1 - (1 - s**15) ** 93, bool(by_document[a] & by_document[b])))
    for pairs in bins.values():
        expected, hits = np.array(pairs).T
        deviation = np.sqrt((expected * (1 - expected)).sum() * 3)  # the seeds share pairs: at most three times
        assert abs(hits.sum() - expected.sum()) <= 4 * deviation + 1


@pytest.mark.shared
def test_verified_merges_reach_the_threshold(known_texts: list[str]) -> None:
    documents = make_shards(known_texts, 4, 500)
    found = replaced(decide(MinHash(bands=100, rows=5, verify=0.8), documents), documents)
    sets = text_shingles(known_texts, 5)
    assert len(found) > 100
    assert all(jaccard(sets[gone], sets[kept]) >= 0.8 for gone, kept in found.items())
