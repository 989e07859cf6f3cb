"""Each statistics filter follows its rule, on any text."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_rules import (
    alnum_first,
    fasttext_tokens,
    other_words,
    passes_gopher_quality,
    passes_gopher_repetition,
    passes_repetition,
    pieces,
    repetition_words,
    stop_words,
    symbols,
    unicode_words,
)

from dclm.core.config import build as build_config
from dclm.core.config import parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.step import Context, Filter, Step
from dclm.filters.rules.gopher import (
    AlphabeticWords,
    AlphanumericRatio,
    BulletLines,
    EllipsisLines,
    StopWords,
    SymbolRatio,
)
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import LineLength, PageLength, WordLength
from dclm.filters.rules.repetition import Repetition
from dclm.filters.rules.words import WordCount, WordRemovalRatio
from dclm.text.features import FEATURES

SHARDS_OF_TEXT = [
    *("the ", "The", "be", "To ", "of", "AND ", "that's", " have", "with,", "naïve ", "a", "b ", "c-d ", "e_f", "x1 "),
    *(" ", "\n", "\n\n", "\t", "\r", "\0", "\v", "\x85", "\u2028", "\u00a0", "\u3000", "\x1c"),
    *("#", ".", "...", ". . .", "…", "- ", "• ", "● ", "* ", '"', "(", "'", "’", ",", "!", "1,000", "3.14", "²", "½"),
    *(
        "e\u0301",
        "\u0301",
        "שָׁלוֹם ",
        'צה"ל',
        "مرحبا ",
        "你好",
        "カタカナ",
        "ไทย",
        "👩‍👩‍👧",
        "🇩🇪🇫🇷",
        "\u200b",
        "\ufeff",
        "ß",
        "İ",
        "K",
    ),
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(SHARDS_OF_TEXT), max_size=60).map("".join),
    st.lists(st.sampled_from(["a b c d", "a b c d e f g h", "x", "a b", "", "- y..."]), max_size=12).map("\n".join),
    st.lists(st.sampled_from(SHARDS_OF_TEXT[:14]), max_size=80).map(" ".join),
    st.text(max_size=40),
)
on_any_text = settings(deadline=None, max_examples=200)  # the first example compiles
FRACTIONS = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.75, 0.9, 1.0])


def batch_of(texts: list[str], step: Step) -> pa.RecordBatch:
    text = pa.array(texts, pa.string())
    return pa.record_batch({"text": text, **{f"_{name}": FEATURES[name](text) for name in step.features}})


def kept(step: Filter, *texts: str) -> list[bool]:
    return step.open(Context())(batch_of(list(texts), step)).to_pylist()


@on_any_text
@given(TEXTS, st.integers(0, 30), st.integers(0, 30))
def test_page_length_counts_what_it_is_told_to(text: str, low: int, more: int) -> None:
    high = low + more
    expected = {
        PageLength(of="char", min=low, max=high): len(text),
        PageLength(of="line", min=low, max=high): len(pieces(text, "\n")),
        PageLength(of="paragraph", min=low, max=high): len(pieces(text, "\n\n")),
        PageLength(of="line", count_blank=True, min=low, max=high): len(text.split("\n")),
        PageLength(of="paragraph", count_blank=True, min=low, max=high): len(text.split("\n\n")),
        PageLength(min=low, max=high): sum(not token.isspace() for token in fasttext_tokens(text)),
        PageLength(min=low, max=high, ignore_punctuation=True): len(alnum_first(fasttext_tokens(text))),
        PageLength(words="whitespace", min=low, max=high): len(text.split()),
        PageLength(words="whitespace", min=low, max=high, ignore_punctuation=True): len(alnum_first(text.split())),
        PageLength(words="unicode", min=low, max=high): sum(not w.isspace() for w in unicode_words(text)),
        PageLength(words="unicode", min=low, max=high, ignore_punctuation=True): len(repetition_words(text)),
    }
    for step, number in expected.items():
        assert kept(step, text) == [low <= number <= high], step


@on_any_text
@given(TEXTS, st.sampled_from([0, 1, 2, 3, 3.5, 4]), st.sampled_from([3, 4.25, 5, 10]))
def test_word_length_is_the_mean_over_words_between_white_space(text: str, low: float, high: float) -> None:
    if low <= high:
        lengths = [len(word) for word in text.split()]
        expected = bool(lengths) and low <= sum(lengths) / len(lengths) <= high
        assert kept(WordLength(min=low, max=high), text) == [expected]
        assert kept(WordLength(min=low, max=None), text) == [bool(lengths) and low <= sum(lengths) / len(lengths)]


@on_any_text
@given(TEXTS, st.integers(0, 30))
@example("a\nb\n", 0)
@example("a\r\nb\u2028c\x85", 0)
@example("a\r\r\n\x1e\n", 0)
@example("\n", 0)
@example("", 0)
def test_line_length_counts_all_lines_that_python_splits_at(text: str, limit: int) -> None:
    lengths = [len(line) for line in text.splitlines()]
    for most in (limit, 0.5, 1):
        assert kept(LineLength(of="max", max=most), text) == [bool(lengths) and max(lengths) <= most]
        assert kept(LineLength(of="avg", max=most), text) == [bool(lengths) and sum(lengths) / len(lengths) <= most]


@on_any_text
@given(TEXTS, FRACTIONS)
def test_fractions_of_words_lines_and_characters(text: str, limit: float) -> None:
    words, lines = text.split(), pieces(text, "\n")
    bullets = sum(line.startswith(("●", "•", "*", "-")) for line in lines)
    ellipses = sum(line.endswith(("...", ". . .", "…")) for line in lines)
    expected = {
        SymbolRatio(max=limit): bool(words) and symbols(text) / len(words) <= limit,
        AlphabeticWords(max_other_fraction=limit): bool(words) and other_words(text) / len(words) <= limit,
        BulletLines(max_fraction=limit): bullets <= limit * len(lines),
        EllipsisLines(max_fraction=limit): ellipses <= limit * len(lines),
        AlphanumericRatio(min_fraction=limit): bool(text) and sum(map(str.isalnum, text)) / len(text) >= limit,
    }
    for step, decision in expected.items():
        assert kept(step, text) == [decision], step


@on_any_text
@given(TEXTS, st.integers(0, 9))
@example("be\0 to\0 the\0", 1)
def test_stop_words_are_whole_words_in_lower_case(text: str, least: int) -> None:
    assert kept(StopWords(min_count=least), text) == [len(stop_words(text)) >= least]
    assert kept(StopWords(min_count=least, unique=True), text) == [len(set(stop_words(text))) >= least]


@on_any_text
@given(TEXTS, FRACTIONS, st.booleans())
@example("İx i̇x\nİX i̇X", 0.4, True)
def test_repetition_follows_every_one_of_its_rules(text: str, limit: float, ignore_case: bool) -> None:
    step = Repetition(
        ignore_case=ignore_case,
        max_line_fraction=limit,
        max_line_char_fraction=limit,
        max_paragraph_fraction=limit,
        max_paragraph_char_fraction=limit,
        top_ngrams=dict.fromkeys("234", limit),
        repeated_ngrams=dict.fromkeys(("5", "6", "7", "8", "9", "10"), limit),
    )
    assert kept(step, text) == [passes_repetition(text.lower() if ignore_case else text, limit)]


@on_any_text
@given(TEXTS, FRACTIONS)
def test_gopher_repetition_counts_extra_copies(text: str, limit: float) -> None:
    step = GopherRepetition(
        max_line_fraction=limit,
        max_line_char_fraction=limit,
        max_paragraph_fraction=limit,
        max_paragraph_char_fraction=limit,
        top_ngrams=dict.fromkeys("234", limit),
        duplicate_ngrams=dict.fromkeys(("5", "6", "7", "8", "9", "10"), limit),
    )
    assert kept(step, text) == [passes_gopher_repetition(text, limit)]


@on_any_text
@given(TEXTS, st.integers(0, 3), FRACTIONS)
def test_gopher_quality_follows_every_one_of_its_rules(text: str, least: int, limit: float) -> None:
    step = GopherQuality(
        min_words=least,
        min_word_length=1.0,
        max_word_length=4.0,
        max_symbols_per_word=limit,
        max_bullet_lines=limit,
        max_ellipsis_lines=limit,
        min_alphabetic_words=1 - limit,
        min_stop_words=least,
    )
    alnum = any(word[0].isalnum() for word in unicode_words(text))
    assert kept(step, text) == [alnum and passes_gopher_quality(text, least, limit)]


def test_repetition_without_limits_drops_the_empty_document_alone() -> None:
    fields = {f"max_{of}_fraction": None for of in ("line", "line_char", "paragraph", "paragraph_char")}
    step = Repetition(**fields, top_ngrams={}, repeated_ngrams={})
    assert step.features == ()
    assert kept(step, "", " ", "a a a a") == [False, True, True]


@on_any_text
@given(TEXTS, TEXTS, FRACTIONS)
def test_word_removal_ratio_compares_with_the_count_before(before: str, after: str, limit: float) -> None:
    count, ratio = WordCount(column="n"), WordRemovalRatio(column="n", max_fraction=limit)
    counted = count.open(Context())(batch_of([before], count))
    num_before, num_after = (len(alnum_first(fasttext_tokens(text))) for text in (before, after))
    assert counted["n"].to_pylist() == [num_before]
    batch = batch_of([after], ratio).append_column("n", counted["n"])
    expected = num_before > 0 and (num_before - num_after) / num_before <= limit
    assert ratio.open(Context())(batch).to_pylist() == [expected]


def test_word_count_refuses_a_column_that_is_there() -> None:
    step = WordCount(column="text")
    with pytest.raises(ConfigError, match="`text` already"):
        step.open(Context())(batch_of(["a"], step))


def test_word_removal_ratio_says_which_column_it_misses() -> None:
    step = WordRemovalRatio(column="words_before")
    with pytest.raises(ConfigError, match="no column `words_before`"):
        step.open(Context())(batch_of(["a"], step))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (PageLength, "{min: 5, max: 3}", "min is 5 and max is 3"),
        (PageLength, "{of: words}", "char | word | line | paragraph"),
        (WordLength, "{min: 12}", "min is 12 and max is 10"),
        (Repetition, "{top_ngrams: {1: 0.5}}", "n-grams of 1 words"),
        (Repetition, "{repeated_ngrams: {11: 0.5}}", "n-grams of 11 words"),
        (BulletLines, "{max_fraction: 90}", r"\[0, 1\]"),
    ],
)
def test_a_wrong_field_is_named(kind: type, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(kind, parse_yaml(text))


ALL = [
    PageLength(), WordLength(), LineLength(), SymbolRatio(), BulletLines(), EllipsisLines(), AlphabeticWords(),
    AlphanumericRatio(), StopWords(), Repetition(), WordCount(), GopherQuality(), GopherRepetition(),
]  # fmt: skip


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.name)
def test_every_step_takes_an_empty_batch(step: Step) -> None:
    assert len(step.open(Context())(batch_of([], step))) == 0
