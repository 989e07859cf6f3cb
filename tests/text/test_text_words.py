"""Words are those of uniseg (UAX #29), fastText and `str.split`, on any text and on real pages."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import fasttext
import pyarrow as pa
import pytest
import uniseg
from hypothesis import given, settings
from hypothesis import strategies as st
from uniseg.wordbreak import words

from dclm.text.buffers import utf8
from dclm.text.features import FEATURES
from dclm.text.unicode import PICTOGRAPHIC, WB_MASK, class_table
from dclm.text.unicode_data import WORD_BREAK_UNICODE_VERSION
from dclm.text.words import unicode_word_ends


def code_points_by_class() -> list[list[str]]:
    groups: dict[int, list[str]] = defaultdict(list)
    for code, bits in enumerate(class_table().tolist()):
        if not 0xD800 <= code < 0xE000:
            groups[bits & (WB_MASK | PICTOGRAPHIC)].append(chr(code))
    return list(groups.values())


ANY_CLASS = st.one_of([st.sampled_from(group) for group in code_points_by_class()])


def our_words(text: str) -> list[str]:
    column = utf8(pa.array([text]))
    ends = unicode_word_ends(column.data, 0, int(column.offsets[1]), class_table())
    data = text.encode()
    return [data[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]


def test_the_judge_has_our_version_of_unicode() -> None:
    assert uniseg.unidata_version == WORD_BREAK_UNICODE_VERSION


@settings(deadline=None, max_examples=600)
@given(st.lists(ANY_CLASS, max_size=12).map("".join))
def test_words_break_where_uniseg_breaks_them(text: str) -> None:
    assert our_words(text) == list(words(text))


@pytest.mark.parametrize(
    "text",
    [
        "can't stop 3.14 and 1,000 or e.g. a.b.c 'quoted' l'été",
        'צה"ל א\' "א" א"',
        "👩‍👩‍👧👨🏽‍🚒 🇩🇪🇫🇷🇮 🇩\u200d🇪",
        "a\u0301\u0301'\u0301b \u0301x \r\n\u0301y \r \n  \u3000\u3000 \u200da",
        "カタカナー ひらがな 漢字 ไทย Ελλάδα’ς snake_case__x_ _1_ ",
    ],
)
def test_known_hard_cases(text: str) -> None:
    assert our_words(text) == list(words(text))


@pytest.mark.shared
def test_words_of_real_pages(shared: Path) -> None:
    documents = json.loads(gzip.decompress((shared / "conformance" / "steps.json.gz").read_bytes()))["docs"]
    for document in documents[::15]:
        text = document["text"][:3000]
        assert our_words(text) == list(words(text))


@pytest.mark.shared
def test_tokens_of_real_pages(shared: Path) -> None:
    with gzip.open(shared / "conformance" / "refinedweb_input.jsonl.gz") as file:
        texts = [json.loads(line)["text"] for line in file]
    for text, found in zip(texts, FEATURES["tokens"](pa.array(texts)).to_pylist(), strict=True):
        tokens = [token for token in fasttext.FastText.tokenize(text) if token.strip()]
        assert found == {"tokens": len(tokens), "token_words": sum(token[0].isalnum() for token in tokens)}


@settings(deadline=None)
@given(st.text(st.sampled_from('ab\0\n\t\v\f\r \x1c\x85\u2028é"(²'), max_size=30))
def test_tokens_of_any_text(text: str) -> None:
    tokens = [token for token in fasttext.FastText.tokenize(text) if token.strip()]
    expected = {"tokens": len(tokens), "token_words": sum(token[0].isalnum() for token in tokens)}
    assert FEATURES["tokens"](pa.array([text])).to_pylist() == [expected]
