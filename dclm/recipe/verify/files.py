"""Finds the artifacts below an address, and hashes their files in place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dclm.core.errors import DataError
from dclm.core.record import RECORD, FileEntry
from dclm.core.stages.ownership import MARK, OWNER
from dclm.core.storage import is_local, sha256_file
from dclm.core.stores.store import join, open_store, split
from dclm.recipe.verify.findings import Finding

RESULT = "result.json"
_CHUNK = 32 << 20
_HINT = "name the directory of a run or of an artifact"
_THREADS = 8


class Found(NamedTuple):
    """Contents of an address, by relative path (empty: the address itself)."""

    artifacts: list[str]
    """Directories with a record."""
    unfinished: list[str]
    """Directories with the mark of unfinished work."""
    results: list[str]
    """Directories with a result.json."""
    files: set[str]
    """All files except hidden ones."""
    is_run: bool


def find_artifacts(address: str) -> Found:
    """Search for records below a folder or URL. Raises: DataError if none is found."""
    names = set(_list(address))
    if not names:
        raise DataError(address, "does not exist or is empty", _HINT)

    def having(name: str) -> list[str]:
        return sorted(n.removesuffix(name).rstrip("/") for n in names if n == name or n.endswith(f"/{name}"))

    artifacts, results = having(RECORD), having(RESULT)
    unfinished = [name for name in having(OWNER) if name not in artifacts]
    if not artifacts and not results and not unfinished:
        raise DataError(address, f"contains no artifact: no {RECORD} was found", _HINT)
    return Found(
        artifacts=artifacts,
        unfinished=unfinished,
        results=results,
        files={n for n in names if not any(part.startswith(".") for part in n.split("/"))},
        is_run=MARK in names,
    )


def _list(address: str) -> Iterator[str]:
    if not is_local(address):
        prefix = address.rstrip("/") + "/"
        store, key = split(prefix + "x")
        folder = key[:-1]
        for name in store.list(folder):
            yield name.removeprefix(folder)
        return
    if not os.path.isdir(address):
        raise DataError(address, "no such directory", _HINT)
    yield from open_store(os.path.abspath(address)).list()


class Compared(NamedTuple):
    """The outcome for one file."""

    entry: FileEntry
    problem: Finding | None
    """None if it matches its record."""


def compare_files(address: str, entries: Iterable[FileEntry]) -> Iterator[Compared]:
    """Hash every file and compare it with its entry, several at a time, in the order of the entries."""
    with ThreadPoolExecutor(_THREADS if not is_local(address) else min(_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda entry: Compared(entry, _problem(join(address, entry.path), entry)), entries)


def _problem(address: str, entry: FileEntry) -> Finding | None:
    store, key = split(address)
    size = store.size(key)
    if size is None:
        return Finding("missing", entry.path, f"no such file, expected {entry.bytes:,} bytes")
    if size != entry.bytes:
        return Finding("differs", entry.path, f"found {size:,} bytes, allowed: {entry.bytes:,} as in its record")
    if (found := hash_of(address, size)) != entry.sha256:
        what = f"found sha256 {found[:12]}…, allowed: {entry.sha256[:12]}… as in its record"
        return Finding("differs", entry.path, what)
    return None


def hash_of(address: str, size: int) -> str:
    """sha256 (hex) of an object, read in pieces without storing it."""
    if is_local(address):
        return sha256_file(address)
    store, key = split(address)
    digest = hashlib.sha256()
    for start in range(0, size, _CHUNK):
        digest.update(store.read_range(key, start, min(_CHUNK, size - start)))
    return digest.hexdigest()
