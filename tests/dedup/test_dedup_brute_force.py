"""MinHash and decontamination against plain Python, on tiny alphabets: many copies, empty texts, any script."""

from __future__ import annotations

import json
import re
import string
import tempfile
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, get_args

import pyarrow as pa
from dedup_documents import ids, make_shards, replaced, table
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.curate.step import Context
from dclm.dedup.decontaminate.questions import ANCHOR
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.shingles import text_shingles
from dclm.dedup.minhash.signatures import permutations, signatures
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import apply, decide
from dclm.text.buffers import utf8

FEW = settings(max_examples=50)
ANY = ["a", "b", "A", "ß", "ẞ", "é", "e\u0301", "\u2003", "\u00a0", "!", "a!b", "\u200b", "İ", "x\u3000y", "日本", ""]
CORPUS = st.lists(st.lists(st.sampled_from(ANY), max_size=9).map(" ".join), max_size=9)
TIES = st.sampled_from([1 / 3, 0.5, 2 / 3, 0.25, 0.75, 1.0, 0.2, 0.6, 3 / 7])


def clusters(texts: list[str], step: MinHash) -> list[int]:
    """For each text, the first one that is connected to it by shared bands."""
    draw = permutations(step.bands * step.rows, step.seed, step.bits)
    column = utf8(pa.array(texts, pa.string()))
    found = signatures(column, alphabet(step.normalize), step.unit == "word", step.ngram, draw)
    bands = [set(enumerate(zip(*[iter(values)] * step.rows, strict=True))) for values in found.values.tolist()]
    root = list(range(len(texts)))
    for first, second in combinations([i for i in root if found.counts[i]], 2):
        if bands[first] & bands[second]:
            low, high = sorted((root[first], root[second]))
            root = [low if r == high else r for r in root]
    return root


STEPS = st.builds(
    MinHash, bands=st.sampled_from([1, 2, 4]), rows=st.sampled_from([1, 2]), ngram=st.integers(1, 4),
    links_in_memory=st.integers(0, 3), normalize=st.sampled_from(get_args(Normalization)),
    unit=st.sampled_from(["word", "character"]), bits=st.sampled_from([32, 64]),
)  # fmt: skip


@FEW
@given(CORPUS, STEPS, st.integers(1, 3))
def test_candidates_are_the_components_of_shared_bands(texts: list[str], step: MinHash, shards: int) -> None:
    documents = make_shards(texts, shards)
    expected = {i: root for i, root in enumerate(clusters(texts, step)) if root != i}
    assert replaced(decide(step, documents), documents) == expected


@FEW
@given(CORPUS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), TIES, st.sampled_from([None, 0, 1, 2, 3]))
def test_verified_duplicates_reach_the_threshold_and_no_two_that_stay_do(
    texts: list[str], ngram: int, shards: int, links: int, threshold: float, cap: int | None
) -> None:
    step = MinHash(bands=4, rows=1, ngram=ngram, links_in_memory=links, verify=threshold, max_cluster=cap)
    documents = make_shards(texts, shards)
    decision = decide(step, documents)
    found = replaced(decision, documents)
    sets = [set(s.tolist()) for s in text_shingles(texts, ngram)]
    pairs = combinations(range(len(texts)), 2)
    near = {(a, b) for a, b in pairs if len(sets[a] & sets[b]) / (len(sets[a] | sets[b]) or 1) >= threshold}
    assert all(kept not in found and (kept, gone) in near for gone, kept in found.items())
    assert table(decision, "edges").num_rows == len(found)
    assert table(decision, "clusters").num_rows == len(found) + len(set(found.values()))
    if cap is not None:
        assert decision.info["largest_cluster"] <= cap  # type: ignore[operator]
    else:
        root = clusters(texts, step)
        assert not [p for p in near if root[p[0]] == root[p[1]] and not set(p) & set(found)]


class Word(NamedTuple):
    """The words compared, and their positions in the text's bytes."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    found = []
    for match in re.finditer(r"\S+", text):
        word = "".join(c for c in match[0].lower() if c not in string.punctuation)
        start, end = (len(text[:at].encode()) for at in match.span())
        found += [Word(word, start, end)] if word else []
    return found


def places(words: list[Word], wanted: list[str]) -> list[int]:
    return [i for i in range(len(words)) if wanted and [w.text for w in words[i : i + len(wanted)]] == wanted]


def contaminated(words: list[Word], question: list[str], options: list[list[str]]) -> set[int]:
    """Bytes of the question and of its options that occur elsewhere."""
    gone: set[int] = set()
    for at in places(words, question) if len(question) >= ANCHOR else []:
        after = at + len(question)
        beside = [(i, i + len(o)) for o in options for i in places(words, o) if i + len(o) <= at or i >= after]
        for first, end in [*beside, (at, after)] if beside else []:
            gone.update(range(words[first].start, words[end - 1].end))
    return gone


PLAIN = st.sampled_from(["a", "b", "A", "É", "é", "!", "a!", "...", "日", "ß"])
ITEMS = st.lists(
    st.tuples(st.lists(PLAIN, min_size=4, max_size=7), st.lists(st.lists(PLAIN, max_size=2), max_size=2)), max_size=2
)
DOCUMENTS = st.lists(st.lists(PLAIN | st.integers(0, 8), max_size=9), max_size=4)  # numbers: parts of items


@FEW
@given(ITEMS, DOCUMENTS, st.sampled_from([" ", "\n", "  ", "\u2003"]))
def test_questions_beside_options_are_what_plain_python_finds(
    drawn: list[tuple[list[str], list[list[str]]]], texts: list[list[str | int]], gap: str
) -> None:
    items = [(["a", "b", "b", "a", "a"], [["b"]]), *drawn]
    parts = [" ".join(part) for question, options in items for part in (question, *options)]
    corpus = [gap.join(parts[w % len(parts)] if isinstance(w, int) else w for w in text) for text in texts]
    rows = [{"query": " ".join(q), "choices": [" ".join(o) for o in options]} for q, options in items]
    expected = {}
    for number, text in enumerate(corpus):
        gone: set[int] = set()
        for question, options in items:
            asked, *answers = ([w.text for w in words_of(" ".join(part))] for part in (question, *options))
            gone |= contaminated(words_of(text), asked, answers)
        left = bytes(b for i, b in enumerate(text.encode()) if i not in gone).decode()
        left = left.rstrip() if len(text.encode()) - 1 in gone else left
        if left.strip() or not gone:
            expected[number] = left
    documents = make_shards(corpus, 2)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "task.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        step = Decontaminate(items=("task",), rule="question_option", action="mask")
        left_over = apply(decide(step, documents, Context(files={"task": str(file)})), documents)
    found = [text for shard in left_over for batch in shard for text in batch.column("text").to_pylist()]
    assert dict(zip(ids(left_over), found, strict=True)) == expected
