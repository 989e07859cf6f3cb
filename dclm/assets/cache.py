"""The cache of files that were downloaded or transformed once, safe for many processes at a time."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from dclm.core.storage import sha256_file


class Unavailable(Exception):
    """A source does not have the asset; the message states why. Never raised beyond this package."""


def is_offline() -> bool:
    """Whether DCLM_OFFLINE forbids the network."""
    return os.environ.get("DCLM_OFFLINE", "") not in ("", "0")


def cache_root() -> Path:
    """DCLM_CACHE, or `dclm` in XDG_CACHE_HOME or ~/.cache."""
    if os.environ.get("DCLM_CACHE"):
        return Path(os.environ["DCLM_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dclm"


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock for creating `name` against every other process that uses this cache folder.

    The kernel releases the lock when its holder dies, so a killed process leaves nothing to clean up.
    """
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def has_content(path: Path, sha256: str) -> bool:
    """Whether `path` is a file with that hash. A file that has not changed is hashed only once per process."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return _hash(str(path), stat.st_size, stat.st_mtime_ns) == sha256


@functools.cache
def _hash(path: str, size: int, mtime_ns: int) -> str:
    return sha256_file(path)
