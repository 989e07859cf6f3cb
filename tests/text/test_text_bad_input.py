"""Texts of shapes that break naive code: counted correctly, in linear time and bounded memory."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa
import pytest

from dclm.text.features import FEATURES

MILLION = 1_000_000


def features_of(text: str) -> dict[str, dict[str, int]]:
    column = pa.array([text])
    return {name: compute(column).to_pylist()[0] for name, compute in FEATURES.items()}


def test_a_million_lines_of_one_character() -> None:
    found = features_of("a\n" * MILLION)
    assert found["lines"]["lines"] == found["split_lines"]["lines"] == found["words"]["words"] == MILLION
    assert found["line_copies"]["repeated"] == found["line_copies"]["extra"] + 1 == MILLION
    assert found["paragraph_copies"]["segments"] == 1
    assert found["ngrams"]["top_2_gram_chars"] == 2 * (MILLION - 1)
    assert found["ngrams"]["repeated_10_gram_chars"] == found["ngrams"]["word_chars"] == MILLION


def test_a_million_different_words() -> None:
    found = features_of(" ".join(f"w{i}" for i in range(MILLION)))
    assert found["ngrams"]["words"] == found["unicode_words"]["words"] == MILLION
    assert found["ngrams"]["top_2_gram_chars"] == found["ngrams"]["repeated_2_gram_chars"] == 0


def test_one_long_word() -> None:
    found = features_of("x" * (10 * MILLION))
    assert found["words"]["words"] == found["tokens"]["tokens"] == found["ngrams"]["words"] == 1
    assert found["words"]["word_chars"] == found["split_lines"]["longest"] == 10 * MILLION


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes() -> None:
    found = features_of("some words " * (100 * MILLION // 11))
    assert found["lines"]["lines"] == 1
    assert found["words"]["words"] == found["ngrams"]["words"] == 2 * (100 * MILLION // 11)


@pytest.mark.parametrize("mark", ["\u0301", "\u200d", "\u00ad"])
def test_marks_without_end_after_a_letter_and_an_apostrophe(mark: str) -> None:
    found = features_of(f"a'{mark * MILLION}b c" + f" d.{mark * 1000}" * 1000)
    assert found["unicode_words"]["alnum_words"] == 2 + 1000
    assert found["words"]["chars"] == 2 + MILLION + 3 + 1000 * 1003


def test_nuls_and_controls_are_characters_like_others() -> None:
    found = features_of("a\0b\0\0 c\x1cd\x7f")
    assert found["words"]["words"] == 3  # NUL is not whitespace for str.split, \x1c is
    assert found["tokens"]["tokens"] == 3  # and the other way round for fastText
    assert found["unicode_words"]["alnum_words"] == 4


def test_right_to_left_text_and_emoji() -> None:
    found = features_of('שלום עולם צה"ל مرحبا بالعالم 👩‍👩‍👧 🇩🇪🇫🇷')
    expected = {"words": 8, "alnum_words": 5, "alnum_word_chars": 24, "alphabetic_words": 5, "stop_word_kinds": 0}
    assert found["unicode_words"] == expected


def test_memory_for_ngrams_is_bounded_by_the_words() -> None:
    column = pa.array(["a " * MILLION])
    FEATURES["ngrams"](column)
    tracemalloc.start()
    FEATURES["ngrams"](column)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 20 * MILLION < peak < 48 * MILLION


def test_features_do_not_depend_on_what_else_is_in_the_batch() -> None:
    texts = ["a b a b a b", "", "x " * 500, "naïve café\n\nnaïve café", "a b a b a b"]
    together = pa.array(texts)
    for name, compute in FEATURES.items():
        alone = [compute(pa.array([text])).to_pylist()[0] for text in texts]
        assert compute(together).to_pylist() == alone, name
