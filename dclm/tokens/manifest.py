"""manifest.jsonl: one line per shard, in the format that open_lm reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dclm.core.errors import DataError
from dclm.core.record import FileEntry
from dclm.core.stores.store import join, put

MANIFEST = "manifest.jsonl"


class Shard(NamedTuple):
    """One line: the file's name without its suffix, and its number of rows (None: not stated)."""

    name: str
    num_sequences: int | None


def format_manifest(shards: Sequence[Shard]) -> str:
    """Lines `{"shard": "00000000", "num_sequences": 8192}`, each ended by a newline."""
    return "".join(json.dumps({"shard": s.name, "num_sequences": s.num_sequences}) + "\n" for s in shards)


def parse_manifest(text: str, where: str) -> list[Shard]:
    """All lines, with or without a newline after the last; older manifests use `num_chunks`.

    Raises: DataError naming the first malformed line.
    """
    shards = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            count = data["num_sequences"] if "num_sequences" in data else data["num_chunks"]
            shard = Shard(data["shard"], count)
        except (ValueError, KeyError, TypeError) as error:
            what = f'found {line[:60]!r}, allowed: {{"shard": name, "num_sequences": number}}'
            raise DataError(f"{where}:{number}", what, "rebuild the manifest, or delete it") from error
        if not isinstance(shard.name, str) or type(count) is not int or count < 0 or "/" in shard.name:
            raise DataError(f"{where}:{number}", f"found shard {shard.name!r} with {count!r} sequences")
        shards.append(shard)
    if not shards:
        raise DataError(where, "found no shards", "rebuild the manifest, or delete it")
    return shards


def write_manifest(out: Path | str, files: Sequence[FileEntry]) -> FileEntry:
    """Write the manifest of an artifact's shard files; returns its own entry."""
    data = format_manifest([Shard(Path(file.path).stem, file.rows) for file in files]).encode()
    put(join(out, MANIFEST), data)
    return FileEntry(path=MANIFEST, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
