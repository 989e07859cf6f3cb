"""langdetect: its own probabilities, the same for a page whatever surrounds it, and the meaning of `keep`."""

from __future__ import annotations

import pytest
from edited import batch_of
from langdetect import DetectorFactory, detect_langs

from dclm.curate.step import Context
from dclm.filters.language.langdetect import Langdetect, open_langdetect

ENGLISH = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep for the rest of the day."
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und geht dann nach Hause, um zu schlafen."
MIXED = f"{ENGLISH} {GERMAN}"
EMPTY = ["", "  \n", "123 456 !?", "\0"]


def rows(step: Langdetect, texts: list[str]) -> list[dict[str, object]]:
    return step.open(Context())(batch_of(texts)).to_pylist()  # type: ignore[no-any-return]


def test_languages_and_probabilities_are_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    guess = open_langdetect(0)
    monkeypatch.setattr(DetectorFactory, "seed", 0)
    for text in (ENGLISH, GERMAN, MIXED, "привет, как дела?", "你好 世界", "a" * 50_000):
        theirs = detect_langs(text)
        ours = guess(text)
        assert [g.language for g in ours] == [t.lang for t in theirs]
        assert all(abs(g.probability - t.prob) < 1e-9 for g, t in zip(ours, theirs, strict=True))


def test_a_page_has_the_same_language_whatever_came_before() -> None:
    alone = [rows(Langdetect(), [text])[0] for text in (ENGLISH, MIXED, GERMAN)]
    together = rows(Langdetect(), [ENGLISH, MIXED, GERMAN, MIXED])
    assert [(r["language"], r["language_score"]) for r in together] == [
        (r["language"], r["language_score"]) for r in [*alone, alone[1]]
    ]
    assert [r["language"] for r in alone if r["text"] != MIXED] == ["en", "de"]


def test_pages_without_letters_have_no_language() -> None:
    found = rows(Langdetect(keep=("en",)), EMPTY)
    assert [(r["language"], r["language_score"], r["_drop"]) for r in found] == [(None, 0.0, True)] * len(EMPTY)
    assert "_drop" not in rows(Langdetect(), EMPTY)[0]


def test_a_page_stays_if_any_language_kept_is_likely_enough() -> None:
    texts = [ENGLISH, GERMAN, MIXED]

    def dropped(keep: tuple[str, ...], min_score: float = 0.0) -> list[object]:
        return [row["_drop"] for row in rows(Langdetect(keep=keep, min_score=min_score), texts)]

    assert dropped(("en",), 0.99) == [False, True, True]
    assert dropped(("de",)) == [True, False, False]  # it is the less likely language of the mixed page
    assert dropped(("de",), 0.5) == [True, False, True]
    assert dropped(("fr",)) == [True] * 3
