"""Files that are written completely or not at all, their hashes, and inputs on any fsspec filesystem."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import fsspec

from dclm.core.errors import DataError

TEMPORARY = ".tmp-"
"""Prefix of uncommitted files. Readers ignore them; `remove_temporary` deletes those left by a crash."""


def sha256_file(path: Path | str) -> str:
    """sha256 (hex) of a local or remote file."""
    with open_input(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]


def sha256_directory(path: Path) -> str:
    """sha256 over the names and contents of all files below a directory, hidden ones excluded."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            digest.update(f"{name}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def open_input(path: Path | str) -> IO[bytes]:
    """Open a local path or an fsspec URL for reading bytes.

    Raises: DataError if it does not exist.
    """
    try:
        if is_local(path):
            return open(path, "rb")
        return cast(IO[bytes], fsspec.open(str(path), "rb").open())
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "check the path") from None


def is_local(path: Path | str) -> bool:
    """Whether `path` is on this machine's filesystem (no `scheme://`)."""
    return "://" not in str(path)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A new directory that is renamed to `path` if the block succeeds, and deleted if it fails.

    An existing directory at `path` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync_path(file)
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}old-", dir=path.parent))
            os.rename(path, old / path.name)
            os.rename(temporary, path)
            shutil.rmtree(old)
        else:
            os.rename(temporary, path)
        sync_path(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name next to `path` that is renamed to it if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync_path(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, path)
        sync_path(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that readers see either the old bytes or the new ones, never a part."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def remove_temporary(root: Path) -> None:
    """Delete what unfinished commits left under `root`. Call it only if no other process is writing."""
    for directory, folders, files in os.walk(root):  # unlike rglob, it tolerates files that vanish in the meantime
        for name in [f for f in folders if f.startswith(TEMPORARY)]:
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
            folders.remove(name)
        for name in (f for f in files if f.startswith(TEMPORARY)):
            Path(directory, name).unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Make a file or a directory entry durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, from any library, means that the disk is full. NumPy's has no number, others are wrapped."""
    said = str(error)
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in said or "Not enough free space" in said
