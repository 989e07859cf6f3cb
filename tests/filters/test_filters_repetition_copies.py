"""Which copies count as repetition."""

from __future__ import annotations

import pytest
from edited import keeps

from dclm.filters.rules.repetition import Repetition

NO_NGRAMS: dict[str, dict[str, float]] = {"top_ngrams": {}, "repeated_ngrams": {}}
TWICE = "one line\nanother line\na third line\na fourth line\na fifth line\nsixth line here\nsixth line here"


@pytest.mark.parametrize(
    ("copies", "limit", "kept"),
    [("all", 2 / 7, True), ("all", 0.28, False), ("extra", 1 / 7, True), ("extra", 0.14, False)],
)
def test_the_first_of_the_copies_counts_or_does_not(copies: str, limit: float, kept: bool) -> None:
    step = Repetition(copies=copies, max_line_fraction=limit, max_line_char_fraction=None, **NO_NGRAMS)  # type: ignore[arg-type]
    assert keeps(step, [TWICE]) == [kept]


def test_characters_are_counted_in_the_same_way() -> None:
    for copies, share in (("all", 30), ("extra", 15)):
        for limit, kept in ((share / 87, True), ((share - 1) / 87, False)):
            step = Repetition(copies=copies, max_line_fraction=None, max_line_char_fraction=limit, **NO_NGRAMS)  # type: ignore[arg-type]
            assert keeps(step, [TWICE]) == [kept]


def test_a_page_that_stands_twice_is_half_repetition() -> None:
    page = "\n".join(f"this is line number {n} of the page" for n in range(20))
    fields = {"max_line_fraction": 0.5, "max_line_char_fraction": 0.5, **NO_NGRAMS}
    assert keeps(Repetition(copies="extra", **fields), [f"{page}\n{page}"]) == [True]  # type: ignore[arg-type]
    assert keeps(Repetition(copies="all", **fields), [f"{page}\n{page}"]) == [False]  # type: ignore[arg-type]
