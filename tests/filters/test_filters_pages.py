"""Edits and filters of whole pages: newlines, citations, repeated lines, blocked words, sentences, sampling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from edited import batch_of, edit, keeps
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.step import Context
from dclm.filters.lines.newlines import Newlines
from dclm.filters.lines.page_edits import Citations, WithinPageDedup
from dclm.filters.lines.sentences import Sentences
from dclm.filters.lines.substring import BlockedWords
from dclm.filters.rules.fineweb import FinewebQuality
from dclm.filters.sampling import RandomSampling

TEXTS = st.lists(st.text(max_size=30) | st.text("a\nA Éé.\u00a0", max_size=30), min_size=1, max_size=5)


@settings(deadline=None)
@given(texts=TEXTS, most=st.integers(1, 3))
def test_runs_of_newlines_are_cut(texts: list[str], most: int) -> None:
    expected = [re.sub(rf"\n{{{most + 1},}}", "\n" * most, text) for text in texts]
    assert edit(Newlines(max_consecutive=most), texts) == expected


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["[1]", "[]", "[٣]", "[edit]", "[citation needed]", "[x]", "a"]), max_size=4)))
def test_citations_go(pieces: list[list[str]]) -> None:
    texts = ["".join(p) for p in pieces]
    gone = [re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", text) or None for text in texts]
    assert edit(Citations(), texts) == gone


@settings(deadline=None)
@given(texts=TEXTS, normalize=st.booleans(), separator=st.sampled_from(["\n", "\n\n"]))
def test_the_first_of_repeated_pieces_stays_and_empty_ones_do(
    texts: list[str], normalize: bool, separator: str
) -> None:
    def dedup(text: str) -> str:
        seen, kept = set(), []
        for piece in text.split(separator):
            key = piece.strip().lower() if normalize else piece
            if key not in seen or not key:
                kept.append(piece)
                seen.add(key)
        return separator.join(kept)

    step = WithinPageDedup(granularity="line" if separator == "\n" else "paragraph", normalize=normalize)
    assert edit(step, texts) == [dedup(text) for text in texts]


WORDS = st.lists(st.text("ab s&.K🖕É", min_size=1, max_size=3), min_size=1, max_size=4)
PAGES = st.lists(st.text("abABsS &.K\u212aİ🖕éÉ\n_", max_size=20), min_size=1, max_size=4)


@settings(deadline=None)
@given(WORDS, PAGES, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["any", "prefix", "suffix"]))
def test_blocked_words_are_found_as_an_expression_finds_them(
    words: list[str], pages: list[str], whole: bool, dots: bool, case: bool, location: str
) -> None:
    fold = str if case else str.lower
    choice = "|".join(re.escape(fold(w)).replace(r"\.", "." if dots else r"\.") for w in words)
    pattern = rf"\b(?:{choice})\b" if whole else f"(?:{choice})"
    compiled = re.compile({"any": pattern, "prefix": f"^{pattern}", "suffix": f"{pattern}$"}[location])
    fields = {"whole_word": whole, "location": location, "dot_matches_any": dots, "case_sensitive": case}
    step = BlockedWords(words=tuple(words), **fields)  # type: ignore[arg-type]
    assert keeps(step, pages) == [compiled.search(fold(page)) is None for page in pages]


def test_pages_with_enough_sentences_stay(tmp_path: Path) -> None:
    model = tmp_path / "punkt.json"
    model.write_text('{"abbreviations": ["dr"], "collocations": [], "contexts": {}, "starters": []}', encoding="utf-8")
    texts = ["", "One.", "One. Dr. Two.", "One. Two? Three!"]
    for step, kept in ((Sentences(min=2), [0, 0, 1, 1]), (Sentences(min=1, max=2), [0, 1, 1, 0])):
        assert keeps(step, texts, files={"punkt-english": model}) == list(map(bool, kept))
    lines = ["", "\n", "One\ntwo", "One.\n\n Two. \n", "One"]
    assert keeps(Sentences(min=2), lines, files={"punkt-english": model}) == [False, False, False, True, False]
    by_line = keeps(Sentences(min=2, by_line=True), lines, files={"punkt-english": model})
    assert by_line == [False, False, True, True, False]


def test_fineweb_drops_lists_short_lines_and_repetitions() -> None:
    good = "\n".join(f"This is sentence number {n} of a page that reads well." for n in range(20))
    unpunctuated = good.replace(".", "")
    short = "\n".join(f"Short line {n}." for n in range(20))
    repeated = good + "\n" + good
    one_word_lines = "\n".join("abcdefghijklmnopqrstuvwxyzabcdefg" + chr(97 + n) + "!" for n in range(20))
    assert (
        keeps(FinewebQuality(), [good, unpunctuated, short, repeated, one_word_lines, "", "\n \n"])
        == [True] + [False] * 6
    )


def test_the_same_pages_are_sampled_whatever_the_batch() -> None:
    batch = batch_of(["x"] * 2000)
    keep = RandomSampling(keep_fraction=0.3).open(Context(seed=7))
    whole = keep(batch).to_pylist()
    assert whole == keep(batch.slice(0, 3)).to_pylist() + keep(batch.slice(3)).to_pylist()
    assert 500 < sum(whole) < 700
    assert whole != RandomSampling(keep_fraction=0.3).open(Context(seed=8))(batch).to_pylist()
    half = RandomSampling(keep_fraction=0.5).open(Context(seed=7))(batch).to_pylist()
    assert all(more for more, less in zip(half, whole, strict=True) if less)
    assert whole != RandomSampling(keep_fraction=0.3, salt="b").open(Context(seed=7))(batch).to_pylist()


def test_the_ends_of_sampling_keep_all_and_nothing() -> None:
    assert keeps(RandomSampling(keep_fraction=1.0), ["a"] * 50) == [True] * 50
    assert keeps(RandomSampling(keep_fraction=0.0), ["a"] * 50) == [False] * 50


@pytest.mark.parametrize(
    ("kind", "text"), [(BlockedWords, "{}"), (Sentences, "{min: 3, max: 2}"), (RandomSampling, "{}")]
)
def test_wrong_fields_are_refused(kind: type, text: str) -> None:
    with pytest.raises(ConfigError):
        build(kind, parse_yaml(text))
