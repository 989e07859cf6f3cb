"""Scratch space on this machine: files before they are published, and copies of remote objects.

`DCLM_SCRATCH` names the folder (default: `dclm-UID` in the system's temporary folder). `DCLM_CACHE_BYTES` limits the
size of the copies (default 64 GB); the least recently used ones are deleted first, but never one used in the last ten
minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dclm.core.errors import ConfigError
from dclm.core.storage import TEMPORARY

CACHE_BYTES = 64 * 10**9
KEEP_SECONDS = 600
"""A copy used this recently is never evicted: another process may be about to open it."""


def scratch() -> Path:
    """This user's scratch folder on this machine.

    Raises: ConfigError if the default folder, in a place where everybody can write, is not this user's alone: what is
    read from it later would be another user's.
    """
    if named := os.environ.get("DCLM_SCRATCH"):
        path = Path(named)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path
    path = Path(tempfile.gettempdir()) / f"dclm-{os.getuid()}"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        what = "belongs to another user, or others can write to it"
        raise ConfigError(str(path), what, "set DCLM_SCRATCH to a folder of your own")
    return path


@contextlib.contextmanager
def scratch_directory(near: str | Path | None = None) -> Iterator[Path]:
    """A new directory that is deleted when the block ends.

    near: a local folder on whose filesystem it is made, so that files can be moved instead of copied.
    """
    parent = scratch() if near is None else Path(near)
    parent.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cached(identity: str, size: int, fetch: Callable[[Path], None]) -> Path:
    """A local copy of the object with this identity, fetched once no matter how many processes ask.

    fetch: writes the content to the given path.
    """
    folder = scratch() / "objects"
    folder.mkdir(exist_ok=True)
    path = folder / hashlib.sha256(identity.encode()).hexdigest()
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)
        return path
    _make_room(folder, size)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        fetch(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _make_room(folder: Path, size: int) -> None:
    """Delete the least recently used copies until `size` more bytes fit."""
    allowed = int(os.environ.get("DCLM_CACHE_BYTES", CACHE_BYTES))
    found = []
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            stat = entry.stat()
            found.append((stat.st_mtime, stat.st_size, entry.path))
    total = sum(bytes_ for _, bytes_, _ in found) + size
    now = time.time()
    for used, bytes_, path in sorted(found):
        if total <= allowed or now - used < KEEP_SECONDS:
            return
        Path(path).unlink(missing_ok=True)
        total -= bytes_
