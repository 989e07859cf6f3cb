"""A directory as a store: renames in a filesystem, hard links for creation, a lock on the folder for comparison."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dclm.core.errors import DataError
from dclm.core.storage import TEMPORARY, sync_path
from dclm.core.stores.store import Store, Versioned


class LocalStore(Store):
    """A directory. Replacement compares under a file lock; creation is a hard link."""

    def __init__(self, url: str) -> None:
        super().__init__(str(Path(url).absolute()))
        self._root = Path(self.url)

    def _path(self, key: str) -> Path:
        return self._root / key if key else self._root

    def read(self, key: str) -> Versioned | None:
        try:
            data = self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Versioned(data, hashlib.sha256(data).hexdigest())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with self.local(key).open("rb") as handle:
            handle.seek(start)
            return handle.read(length)

    def local(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise DataError(str(path), "no such file", "check the path")
        return path

    def put(self, key: str, source: Path | bytes) -> None:
        target = self._path(key)
        if isinstance(source, bytes) or not _moved(source, target):
            with self._temporary(target, source) as temporary:
                os.replace(temporary, target)
        sync_path(target.parent)

    def create(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        with self._temporary(target, data) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        sync_path(target.parent)
        return True

    def replace(self, key: str, data: bytes, version: str) -> bool:
        target = self._path(key)
        with _locked(_made(target.parent)):
            found = self.read(key)
            if found is None or found.version != version:
                return False
            self.put(key, data)
            return True

    def size(self, key: str) -> int | None:
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def list(self, prefix: str = "") -> Iterator[str]:
        root = self._path(prefix)
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            name = path.relative_to(self._root).as_posix()
            if not any(part.startswith(TEMPORARY) for part in name.split("/")):
                yield name

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _temporary(self, target: Path, source: Path | bytes) -> Iterator[Path]:
        """The content under a temporary name in the target's folder, synced; deleted when the block ends."""
        _made(target.parent)
        handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{target.name}-", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            if isinstance(source, bytes):
                temporary.write_bytes(source)
            else:
                shutil.copyfile(source, temporary)
            sync_path(temporary)
            temporary.chmod(0o644)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Network filesystems lock only files that are open for writing, so one is created
    there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            os.close(handle)
            handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _moved(source: Path, target: Path) -> bool:
    """Make a file durable and rename it, which replaces any file of that name; False between two filesystems."""
    _made(target.parent)
    if os.stat(source.parent).st_dev != os.stat(target.parent).st_dev:
        return False
    sync_path(source)
    source.chmod(0o644)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # two mounts of one device
            raise
        return False
    return True


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file's content a second name, replacing any file of that name."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=_made(target.parent)) as folder:
        link = Path(folder) / target.name
        try:
            os.link(source, link)
        except OSError:  # a filesystem without hard links
            shutil.copyfile(source, link)
        os.replace(link, target)


def _made(folder: Path) -> Path:
    """The folder, created if needed. Raises: NotADirectoryError if it is something else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    return folder
