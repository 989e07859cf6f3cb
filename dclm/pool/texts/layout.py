"""Where public corpora store text, URL, id and date, and how a recipe names these fields in other layouts.

The names are those of C4, datatrove (FineWeb), Dolma, DCLM-Pool and DCLM-Baseline, OSCAR, RedPajama-V2
and HPLT. `a.b` is the field `b` of `a`, which may be an object, a map, or an object as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

KeptType = Literal["number", "text"]
FieldName = Literal["text", "url", "id", "date"]
TEXT = ("text", "content", "raw_content")
URL = (
    "url", "metadata.WARC-Target-URI", "metadata.url", "warc_headers.warc-target-uri", "meta.url",
    "meta.warc_headers.warc-target-uri", "metadata.warc_url", "metadata.source_url", "u",
)  # fmt: skip
ID = (
    "metadata.WARC-Record-ID", "id", "warc_headers.warc-record-id", "meta.warc_headers.warc-record-id", "doc_id",
    "metadata.id",
)  # fmt: skip
DATE = (
    "metadata.WARC-Date", "date", "metadata.date", "timestamp", "metadata.timestamp", "meta.timestamp",
    "warc_headers.warc-date", "meta.warc_headers.warc-date", "date_download", "meta.date_download", "created",
    "metadata.created", "added", "ts",
)  # fmt: skip
NESTED = ("metadata", "meta", "warc_headers")
"""Columns that contain other fields."""


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields named in a recipe. None: the fields of public corpora."""

    text: str | None = None
    url: str | None = None
    id: str | None = None
    date: str | None = None
    keep: tuple[tuple[str, KeptType], ...] = ()
    """Other fields that become columns of the documents, with the type of each."""

    def paths(self, name: FieldName) -> tuple[str, ...]:
        """Fields to try, in order."""
        own: str | None = getattr(self, name)
        return _USUAL[name] if own is None else (own,)


class Paths(NamedTuple):
    """Names of the fields to try for each property of a document, in order."""

    text: tuple[str, ...]
    url: tuple[str, ...]
    id: tuple[str, ...]
    date: tuple[str, ...]


class FieldFinder:
    """Finds which fields to try in the objects of a file.

    Objects of a file mostly have the same names, for which a lookup replaces thirty.
    """

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._known: dict[tuple[str, ...], Paths] = {}

    def paths_in(self, value: Mapping[str, object]) -> Paths:
        """Fields to try in this object: those of `Fields.paths` whose first name it has."""
        names = tuple(value)
        return self._known.get(names) or self._find(names)

    def _find(self, names: tuple[str, ...]) -> Paths:
        if len(names) > _MOST_NAMES or sum(map(len, names)) > _MOST_CHARACTERS:
            return Paths(**{name: self.fields.paths(name) for name in _USUAL})
        there = set(names)
        paths: dict[FieldName, tuple[str, ...]] = {
            name: tuple(p for p in self.fields.paths(name) if p in there or p.partition(".")[0] in there)
            for name in _USUAL
        }
        if len(self._known) == _MOST_KNOWN:
            self._known.clear()
        self._known[names] = Paths(**paths)
        return self._known[names]


_MOST_NAMES, _MOST_CHARACTERS, _MOST_KNOWN = 64, 2000, 256
"""Of the objects whose fields are remembered, which bounds the memory."""
_USUAL: dict[FieldName, tuple[str, ...]] = {"text": TEXT, "url": URL, "id": ID, "date": DATE}


def look_up(value: Mapping[str, object], path: str) -> object:
    """The value at `path`; None if none exists. A name that itself contains a dot takes precedence over a nested
    one."""
    if path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    return look_up(as_object(value.get(head)), rest) if dot else None


def as_object(value: object) -> Mapping[str, object]:
    """An object, stored directly, as pairs or as JSON text; empty for everything else."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, list):
        return dict(pair for pair in value if isinstance(pair, tuple) and len(pair) == 2)
    return value if isinstance(value, Mapping) else {}


def kept_value(value: object, kind: KeptType) -> object:
    """A kept field in its type; null if it has another type."""
    if kind == "text":
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False)
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
