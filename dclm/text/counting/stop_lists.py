"""Stop words of many languages: the most frequent function words of each, like Gopher's eight for English."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple


class StopList(NamedTuple):
    """The stop words of one language."""

    words: tuple[str, ...]
    """The words, in lower case."""
    anywhere: bool = False
    """Whether the language is written without spaces, so that its words count wherever they occur."""


@cache
def stop_lists() -> dict[str, StopList]:
    """Language → its list, under its ISO 639-1 code and the ISO 639-3 codes that language identifiers use."""
    text = resources.files("dclm.text").joinpath("stop_lists.json").read_text(encoding="utf-8")
    lists: dict[str, StopList] = {}
    for code, entry in json.loads(text).items():
        found = StopList(tuple(entry["words"]), entry.get("anywhere", False))
        lists |= dict.fromkeys([code, *entry["names"]], found)
    return lists


def find_stop_list(language: str) -> StopList | None:
    """The list of a language, with or without a script or region (`zh-cn`, `srp_Cyrl`); None if there is no list."""
    lists = stop_lists()
    return lists.get(language) or lists.get(language.replace("_", "-").partition("-")[0].lower())


def shipped_languages() -> tuple[str, ...]:
    """The two-letter codes of the languages that have a list."""
    return tuple(sorted(code for code in stop_lists() if len(code) == 2))
