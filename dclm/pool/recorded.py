"""Compares pool files with the record next to them, and with their state when they were hashed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from dclm.core.errors import DataError, IncompleteError
from dclm.core.record import RECORD, fingerprint, read_record
from dclm.core.storage import is_local, sha256_file
from dclm.core.stores.store import exists, join
from dclm.pool.files import InputFile, file_identity, is_http
from dclm.pool.texts.layout import Fields

Stamp = tuple[int, int, int, int]
LISTED_FILES = 10_000
"""Maximum number of pool files listed in the record of the documents."""
_USUAL = Fields()


def stamps(files: Sequence[InputFile]) -> list[Stamp | None]:
    """Size, times and inode of each local file; None for a remote one. Take them before the files are hashed."""
    return [_stamp(file.path) if is_local(file.path) else None for file in files]


def _stamp(path: str) -> Stamp:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def require_unchanged(files: Sequence[InputFile], before: Sequence[Stamp | None], hashes: Sequence[str]) -> None:
    """Check after reading that local files have not changed. Only files whose times or size differ are hashed again.
    Raises: DataError for a file that was deleted or whose content has changed.
    """
    for file, stamp, known in zip(files, before, hashes, strict=True):
        if stamp is None:
            continue
        hint = "run the same command again once nothing writes to the pool"
        try:
            same = _stamp(file.path) == stamp or file_identity(file) == known
        except FileNotFoundError:
            raise DataError(file.path, "was deleted while being read", hint) from None
        if not same:
            raise DataError(file.path, "was changed while being read", hint)


def check_recorded(files: Sequence[InputFile], hashes: Sequence[str]) -> None:
    """Compare files of artifacts (of kind pool or documents) with the record next to them.

    hashes: `file_identity` of each file.
    Raises: DataError for a file that does not match its artifact's record.
    """
    find = cache(_record)
    for file, found in zip(files, hashes, strict=True):
        if not is_local(file.path) or file.ranges:
            continue
        expected = _recorded_hash(file.path, find)
        if expected is None:
            continue
        if file.fields != _USUAL:
            expected = fingerprint([expected, asdict(file.fields)])
        if found != expected:
            raise _changed(file.path, file_identity(replace(file, fields=_USUAL)))


def intact_hash(path: str) -> str:
    """sha256 of a file's content, also of a remote file. Raises: DataError if its artifact's record has another."""
    found = sha256_file(path)
    expected = None if is_http(path) else _recorded_hash(path, _record)
    if expected not in (None, found):
        raise _changed(path, found)
    return found


def _changed(path: str, found: str) -> DataError:
    hint = "the file has changed: rebuild it, or restore an intact copy"
    return DataError(path, f"found sha256 {found[:12]}…, which differs from {RECORD}", hint)


def _recorded_hash(path: str, find: Callable[[str], Mapping[str, str]]) -> str | None:
    """The file's hash in the record of its folder or of the one above."""
    folder, name = os.path.split(path)
    above, last = os.path.split(folder)
    return find(folder).get(name) or find(above).get(f"{last}/{name}")


def _record(folder: str) -> Mapping[str, str]:
    """Path → sha256 from the folder's record; empty without a record."""
    if not exists(join(folder, RECORD)):
        return {}
    try:
        record = read_record(folder)
    except IncompleteError:  # a file of this name that is not ours
        return {}
    return {entry.path: entry.sha256 for entry in record.files}


def pool_identity(files: Sequence[InputFile], hashes: Sequence[str]) -> str:
    """The identity of a pool: names and contents of its files in order, and what their rows get besides."""
    return fingerprint([[file.name, known, *file.added_columns] for file, known in zip(files, hashes, strict=True)])


def listed_identity(listing: Iterable[Mapping[str, Any]]) -> str:
    """The same, from `pool_listing`."""
    return fingerprint([[file["name"], file["identity"], *file.get("columns", [])] for file in listing])


def pool_listing(files: Sequence[InputFile], hashes: Sequence[str]) -> list[dict[str, object]] | None:
    """Address, name and identity of each file, for `dclm verify`; None for a pool of too many files to list.

    Queries of URLs are left out, because they may contain a signature.
    """
    if len(files) > LISTED_FILES:
        return None
    return [_listed(file, known) for file, known in zip(files, hashes, strict=True)]


def _listed(file: InputFile, known: str) -> dict[str, object]:
    fields = {} if file.fields == _USUAL else {"fields": json.loads(json.dumps(asdict(file.fields)))}
    parts = {"parts": len(file.ranges)} if file.ranges else {}
    columns = {"columns": file.added_columns} if file.added_columns else {}
    return {"address": _address(file.path), "name": file.name, "identity": known, **fields, **parts, **columns}


def _address(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path.partition("?")[0]
