"""Where artifacts are stored: one interface over a local directory and an object store, addressed by URL.

A store handles whole objects by key: read, put (completely or not at all), create (only if it does not exist), replace
(only the version that was read), delete. Nothing is renamed, and no reader needs a listing: related objects are named
in a small record that is created last. Addresses are strings: an absolute local path, or `scheme://…`.
"""

from __future__ import annotations

import functools
import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dclm.core.errors import DataError
from dclm.core.storage import is_local, sha256_file


class Versioned(NamedTuple):
    """An object and the version that `Store.replace` compares."""

    data: bytes
    version: str


class Store(ABC):
    """Objects under one root. All methods may be called from several threads and machines at once."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def read(self, key: str) -> Versioned | None:
        """The whole object; None if it does not exist."""

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes starting at `start`. Raises: DataError if there is no such object."""

    @abstractmethod
    def local(self, key: str) -> Path:
        """A local file with the object's content: the file itself, or a copy in this machine's cache.

        Raises: DataError if there is no such object.
        """

    @abstractmethod
    def put(self, key: str, source: Path | bytes) -> None:
        """Write the object; readers see the old content or the new one, never a part.

        A `Path` may be moved by the call: it belongs to the store afterwards.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write the object if it does not exist. Returns False, without writing, if it does."""

    @abstractmethod
    def replace(self, key: str, data: bytes, version: str) -> bool:
        """Write the object if it is still the version that `read` returned; else returns False."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Size of the object in bytes; None if it does not exist."""

    def version(self, key: str) -> str | None:
        """A value that changes with the object's content, without reading it; None if the store has no such value."""
        return None

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys below a folder, in order. For people and for cleaning up, never to find out what is finished."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete these objects; missing ones are ignored."""


@functools.lru_cache(maxsize=64)
def open_store(url: str) -> Store:
    """The store at a local path or URL (`s3://`, `gs://`, `az://`, `memory://`, `hf://`, or any that fsspec knows).

    Credentials and endpoints come from each provider's usual environment variables (`AWS_ENDPOINT_URL` …). Raises:
    ConfigError for a scheme that cannot be written to.
    """
    if is_local(url):
        from dclm.core.stores.local_store import LocalStore

        return LocalStore(url)
    from dclm.core.stores.objects import open_object_store

    return open_object_store(url)


def join(address: str | Path, *parts: str) -> str:
    """The address of something below another address."""
    return "/".join([str(address).rstrip("/"), *parts]) if parts else str(address)


def absolute(address: str | Path) -> str:
    """The address itself; for a local path, its absolute form, because workers on a cluster have another working
    directory."""
    return str(Path(address).absolute()) if is_local(address) else str(address).rstrip("/")


def split(address: str) -> tuple[Store, str]:
    """The store that holds an object, and its key there: folder and name, or bucket and the rest of the path."""
    if is_local(address):
        path = Path(address).absolute()
        return open_store(str(path.parent)), path.name
    scheme, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    return open_store(f"{scheme}://{bucket}"), key


def local_file(address: str | Path) -> Path:
    """A local file with the content of the object at an address. Raises: DataError if none exists."""
    if is_local(address):
        return Path(address)
    store, key = split(str(address))
    return store.local(key)


class RemoteFile(io.RawIOBase):
    """An object as a seekable file of which only the parts that are read are fetched."""

    def __init__(self, address: str) -> None:
        """Raises: DataError if there is no such object."""
        self._store, self._key = split(address)
        size = self._store.size(self._key)
        if size is None:
            raise DataError(address, "no such object", "check the address")
        self._size, self._position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = (0, self._position, self._size)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        data = self._store.read_range(self._key, self._position, size) if size else b""
        self._position += len(data)
        return data

    def size(self) -> int:
        """Size of the object, in bytes."""
        return self._size


def verified_file(address: str | Path, sha256: str | None) -> Path:
    """A local file with the content of an object, compared with the hash that a record states (None: unknown).

    The content is read once more than needed, but from memory the second time. Raises: DataError if it does not match
    the record.
    """
    path = local_file(address)
    if sha256 is None:
        return path
    stat = path.stat()
    if (found := _sha256(path, stat.st_size, stat.st_mtime_ns)) != sha256:
        what = f"found sha256 {found[:12]}…, allowed: {sha256[:12]}… as in its record"
        raise DataError(str(address), what, "the file has changed: make it again, or restore it from an intact copy")
    return path


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    """The hash of a file, cached as long as this process has not seen it change."""
    return sha256_file(path)


def read_bytes(address: str | Path) -> bytes | None:
    """The content of a small object; None if it does not exist."""
    store, key = split(str(address))
    found = store.read(key)
    return None if found is None else found.data


def size_of(address: str | Path) -> int | None:
    """Size in bytes of the object at an address; None if it does not exist."""
    store, key = split(str(address))
    return store.size(key)


def exists(address: str | Path) -> bool:
    """Whether there is an object at an address."""
    return size_of(address) is not None


def put(address: str | Path, source: Path | bytes) -> None:
    """Write an object (see `Store.put`)."""
    store, key = split(str(address))
    store.put(key, source)


def create(address: str | Path, data: bytes) -> bool:
    """Write an object if it does not exist (see `Store.create`)."""
    store, key = split(str(address))
    return store.create(key, data)


def copy(source: str, target: str) -> None:
    """Copy an object; within one filesystem both may share their bytes."""
    if is_local(target):  # never moved: a cached copy may be in use by others
        from dclm.core.stores.local_store import link_or_copy

        link_or_copy(local_file(source), Path(target))
        return
    store, key = split(target)
    store.put(key, local_file(source))


def delete(addresses: Iterable[str]) -> None:
    """Delete these objects; missing ones are ignored."""
    by_store: dict[str, tuple[Store, list[str]]] = {}
    for address in addresses:
        store, key = split(address)
        by_store.setdefault(store.url, (store, []))[1].append(key)
    for store, keys in by_store.values():
        store.delete(keys)


def delete_tree(address: str | Path) -> None:
    """Delete everything below an address."""
    if is_local(address):
        shutil.rmtree(address, ignore_errors=True)
        return
    store, key = split(str(address))
    store.delete(list(store.list(key.rstrip("/") + "/")))
