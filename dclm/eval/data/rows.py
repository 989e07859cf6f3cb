"""Rows of evaluation data as JSONL: reading, and the canonical form that is hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

from dclm.core.errors import DataError

Row = dict[str, object]


def parse_rows(name: str, content: bytes) -> Iterator[Row]:
    """The objects in a JSONL file. Raises: DataError naming the line that is not an object."""
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{name}:{number}", f"not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{name}:{number}", f"found {type(row).__name__}, allowed: an object")
        yield row


def canonical_rows(rows: Iterable[Row]) -> bytes:
    """JSONL with sorted keys and no spaces: the same rows always give the same bytes."""
    lines = (json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def rows_sha256(rows: Iterable[Row]) -> str:
    """The value that a task's file gives as `sha256`."""
    return hashlib.sha256(canonical_rows(rows)).hexdigest()
