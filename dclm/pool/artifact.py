"""The records of artifacts in a directory that is used as a pool, on any fsspec filesystem."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from fsspec import AbstractFileSystem

from dclm.core.record import RECORD


def is_artifact(fs: AbstractFileSystem, root: str) -> bool:
    """Whether a directory contains the record of a documents artifact."""
    return _read_record(fs, root).get("kind") == "documents"


def recorded_files(fs: AbstractFileSystem, base: str) -> set[str]:
    """The files that the record of a directory, or of the one above, names."""
    found = ((root, _read_record(fs, root)) for root in (base, posixpath.dirname(base)))
    ours = ((root, record.get("files", [])) for root, record in found if record.get("kind") in ("pool", "documents"))
    return {f"{root}/{entry['path']}" for root, files in ours for entry in files}


def _read_record(fs: AbstractFileSystem, root: str) -> dict[str, Any]:
    """The raw record in a directory; empty if it does not exist or is not a record."""
    try:
        record = json.loads(fs.cat_file(f"{root}/{RECORD}"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
