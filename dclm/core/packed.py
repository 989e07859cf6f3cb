"""Outcomes held in memory as packed bytes: the outcome of a curation unit takes 1 kB instead of 21."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

K = TypeVar("K", int, str)
_LEVEL = 1


class Packed(MutableMapping[K, Mapping[str, Any]]):
    """A mapping to JSON objects that unpacks each one on access. Values are those of JSON."""

    def __init__(self, items: Mapping[K, Mapping[str, Any]] | None = None) -> None:
        self._packed: dict[K, bytes] = {}
        self.update(items or {})

    def __getitem__(self, key: K) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(zlib.decompress(self._packed[key]))
        return found

    def __setitem__(self, key: K, value: Mapping[str, Any]) -> None:
        self._packed[key] = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), _LEVEL)

    def __delitem__(self, key: K) -> None:
        del self._packed[key]

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[K]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def share(self, key: K, other: Packed[K]) -> None:
        """Share the value that `other` has under this key, without a copy."""
        self._packed[key] = other._packed[key]

    def in_order(self) -> Packed[K]:
        """The same, sorted by key."""
        ordered: Packed[K] = Packed()
        ordered._packed = dict(sorted(self._packed.items()))
        return ordered
