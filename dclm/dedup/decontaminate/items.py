"""Evaluation items as texts: what decontamination searches for in documents."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dclm.core.errors import DataError

_QUESTION = ("query", "context", "question")
_OPTIONS = ("choices", "continuation", "answer", "answers", "aliases", "context_options")
_LISTED = re.compile(r"^\(?[A-J][.):]\s+(.+)$", re.MULTILINE)
_HEAD = re.compile(r"^\s*(?:Q|Question)\s*:", re.IGNORECASE)
_TAIL = re.compile(r"(?:\b(?:Choices|Options|Answer|A)\s*:\s*)+$", re.IGNORECASE)


class Item(NamedTuple):
    """One row of a task's data."""

    texts: tuple[str, ...]
    """All its strings, at any depth."""
    question: str
    """The question, without the options listed after it and without `Question:` and `Answer:`; may be empty."""
    options: tuple[str, ...]
    """Possible answers, right and wrong."""


def read_items(file: Path) -> list[Item]:
    """The lines of a JSONL file (.gz or not), in order; blank lines are skipped.

    Raises: DataError naming the line that is not JSON.
    """
    opened = gzip.open if file.name.endswith(".gz") else open
    items = []
    with opened(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    items.append(make_item(json.loads(line)))
                except ValueError as error:
                    raise DataError(f"{file}:{number}", f"not JSON: {error}") from None
    return items


def make_item(row: object) -> Item:
    """The item in a row: the question in `query`, `context` or `question`, options in `choices`, `answer` and so on.

    Options that a question lists as lines ("A. …") are read from there.
    """
    texts = tuple(_strings(row))
    if not isinstance(row, dict):
        return Item(texts, "", ())
    question = next((row[name] for name in _QUESTION if isinstance(row.get(name), str)), "")
    listed = list(_LISTED.finditer(question))
    if listed:
        options = tuple(match[1] for match in listed)
        question = question[: listed[0].start()]
    else:
        options = tuple(text for name in _OPTIONS for text in _strings(row.get(name)))
    return Item(texts, _TAIL.sub("", _HEAD.sub("", question.strip())).strip(), options)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
