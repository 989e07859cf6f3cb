"""Shingles and signatures compared with Python's strings and datasketch."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash as DatasketchMinHash
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.shingles import UNITS, Unit, shingle_hash, text_shingles
from dclm.dedup.minhash.signatures import Bits, permutations, signatures
from dclm.text.buffers import utf8

TEXT = st.text(st.sampled_from("aAbB  \n\tÄäΣσς.!漢😀\u00a0\u3000"), max_size=60)


def fold(text: str) -> str:
    return "".join(c.lower()[0] for c in text).replace("ς", "σ")


def word_grams(text: str, n: int) -> set[str]:
    words = fold(text).split()
    return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


@given(TEXT, st.integers(1, 6))
def test_word_shingles_are_those_of_split(text: str, n: int) -> None:
    expected = sorted(shingle_hash(gram) for gram in word_grams(text, n))
    assert text_shingles([text], n)[0].tolist() == expected


@given(TEXT, TEXT, st.integers(1, 4))
def test_character_shingles_are_equal_where_strings_are(a: str, b: str, n: int) -> None:
    def grams(text: str) -> set[str]:
        flat = " ".join(fold(text).split())
        return {flat[i : i + n] for i in range(max(1, len(flat) - n + 1))} if flat else set()

    x, y = text_shingles([a, b], n, unit="character")
    assert len(x) == len(grams(a))
    assert len(np.intersect1d(x, y)) == len(grams(a) & grams(b))


def test_normalizations_differ_in_what_they_merge() -> None:
    names: tuple[Normalization, ...] = ("none", "lower", "lower_no_ascii_punctuation", "lower_no_punctuation")
    for other, expected in (
        ("hello, world", [False, True, True, True]),
        ("Hello world", [False, False, True, True]),
        ("hello， world", [False, False, False, True]),
    ):
        merged = [np.array_equal(*text_shingles(["Hello, world", other], 2, name)) for name in names]
        assert merged == expected
    assert text_shingles(["!!! ..."], 2, "lower_no_punctuation")[0].tolist() == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("don't “go” now", 'don’t "go" now'),
        ("ﬁne ﬃ ½ ²", "FINE ffi 12 2"),
        ("straße", "STRASSE"),
        ("café Ångström", "cafe\u0301 A\u030angstro\u0308m"),
        ("a\u200bb so\u00adft \ufeffbom", "ab soft bom"),
        ("well-\nknown — word", "well–known word"),
        ("wait... what?", "wait… what？"),
        ("ｗｉｄｅ\u3000１２", "wide 12"),
        ("한글 『日本』", "한글 日本"),
    ],
)
@pytest.mark.parametrize("unit", UNITS)
def test_variants_of_typography_are_one(one: str, other: str, unit: Unit) -> None:
    x, y = text_shingles([one, other], 3, "lower_no_punctuation", unit)
    assert x.tolist() == y.tolist()
    assert len(x)


@given(st.text(max_size=30))
def test_folding_needs_no_more_room_than_there_are_bytes(text: str) -> None:
    for unit in UNITS:
        assert len(text_shingles([text], 1, "lower_no_punctuation", unit)[0]) <= len(text.encode())


SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff]")


@given(st.text(alphabet="aß É 中日漢字かなカナーกขค้ງမខ、。x", max_size=30), st.integers(1, 4))
def test_script_shingles_take_characters_where_there_are_no_spaces(text: str, n: int) -> None:
    spaced = SPACELESS.sub(lambda m: f" {m[0]} ", text)
    assert text_shingles([text], n, unit="script")[0].tolist() == text_shingles([spaced], n)[0].tolist()


def test_the_alphabet_is_the_same_under_every_python() -> None:
    import hashlib

    assert hashlib.sha256(alphabet("lower").astype("<u4").tobytes()).hexdigest()[:16] == "79edacf409305862"


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("count", [1, 3, 128])
def test_signatures_equal_datasketch(bits: Bits, count: int) -> None:
    texts = ["the quick brown fox jumps over the lazy dog", "", "short", "Ünïcode wörds 漢字 and more of them here"]
    found = signatures(utf8(pa.array(texts)), alphabet("lower"), True, 5, permutations(count, 7, bits))
    mask = (1 << bits) - 1
    for text, values in zip(texts, found.values, strict=True):
        sketch = DatasketchMinHash(
            count, seed=7, scheme=f"affine{bits}", hashfunc=lambda gram: shingle_hash(gram.decode()) & mask
        )
        sketch.update_batch([gram.encode() for gram in word_grams(text, 5)])
        assert values.tolist() == sketch.hashvalues.tolist()


def test_equal_sequences_of_shingles_have_equal_digests() -> None:
    texts = utf8(pa.array(["A b  c d e f", "a B c\nd e f", "a b c d f e", "", " "]))
    found = signatures(texts, alphabet("lower"), True, 3, permutations(4, 1, 64))
    assert found.whole[0] == found.whole[1] != found.whole[2]
    assert found.counts.tolist() == [4, 4, 4, 0, 0]
