"""The page of formats, layouts and encodings is correct."""

from __future__ import annotations

from tests.pool.formats import TARGET, page


def test_every_row_of_the_page_holds_and_the_page_is_fresh() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run `python -m tests.pool.formats --write`"
