"""Object stores: S3, Google Cloud Storage and Azure through obstore, everything else through fsspec.

obstore aborts unfinished writes and supports conditional requests; s3fs and pyarrow commit truncated objects when an
exception leaves a `with` block. Requests are retried with back-off on 429, 503 and broken connections.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import is_disk_full
from dclm.core.stores.cache import cached
from dclm.core.stores.store import Store, Versioned

RETRY_SECONDS = 300
"""Maximum time that a request is retried while the store is busy or does not answer."""
_OBSTORE = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT")
"""Variables that may name an endpoint without TLS, such as a server in the same rack."""
_CLIENT = {"timeout": "120s", "connect_timeout": "10s"}


def open_object_store(url: str) -> Store:
    """See `dclm.core.stores.store.open_store`."""
    scheme = url.partition("://")[0]
    if scheme in _OBSTORE:
        return ObjectStore(url)
    try:
        filesystem, _ = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        hint = f"install the fsspec package for {scheme}://, or use s3://, gs://, az:// or a local path"
        raise ConfigError(url, f"this kind of address is not supported: {error}", hint) from None
    return FsspecStore(url, filesystem)


class ObjectStore(Store):
    """A bucket (or a folder of one) through obstore."""

    def __init__(self, url: str) -> None:
        super().__init__(url.rstrip("/"))
        options = dict(_CLIENT)
        if any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS):
            options["allow_http"] = "true"
        retry: Any = {
            "max_retries": 60,
            "retry_timeout": datetime.timedelta(seconds=RETRY_SECONDS),
            "backoff": {
                "init_backoff": datetime.timedelta(milliseconds=100),
                "max_backoff": datetime.timedelta(seconds=15),
                "base": 2,
            },
        }
        client: Any = options
        try:
            self._store: Any = obstore.store.from_url(self.url, client_options=client, retry_config=retry)
        except BaseError as error:
            raise ConfigError(url, f"cannot be opened: {_first_line(error)}", "check the address") from None

    def read(self, key: str) -> Versioned | None:
        try:
            found = obstore.get(self._store, key)
            return Versioned(bytes(found.bytes()), str(found.meta["e_tag"]))
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise self._fault(key, error) from error

    def read_range(self, key: str, start: int, length: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._store, key, start=start, length=length))
        except (BaseError, FileNotFoundError) as error:
            raise self._fault(key, error) from error

    def local(self, key: str) -> Path:
        try:
            meta = obstore.head(self._store, key)
        except (BaseError, FileNotFoundError) as error:
            raise self._fault(key, error) from error
        identity = f"{self.url}\0{key}\0{meta['e_tag']}\0{meta['size']}"
        return cached(identity, int(meta["size"]), lambda target: self._fetch(key, target))

    def _fetch(self, key: str, target: Path) -> None:
        try:
            with target.open("wb") as handle:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=8 << 20):
                    handle.write(chunk)
        except (BaseError, FileNotFoundError) as error:
            raise self._fault(key, error) from error

    def put(self, key: str, source: Path | bytes) -> None:
        try:
            obstore.put(self._store, key, source)
        except BaseError as error:
            raise self._fault(key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            found = self.read(key)  # a repeated request whose first answer was lost finds its own object
            return found is not None and found.data == data
        except BaseError as error:
            raise self._fault(key, error) from error
        return True

    def replace(self, key: str, data: bytes, version: str) -> bool:
        try:
            obstore.put(self._store, key, data, mode={"e_tag": version})
        except (PreconditionError, NotFoundError, FileNotFoundError):
            found = self.read(key)
            return found is not None and found.data == data
        except BaseError as error:
            raise self._fault(key, error) from error
        return True

    def size(self, key: str) -> int | None:
        try:
            return int(obstore.head(self._store, key)["size"])
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise self._fault(key, error) from error

    def version(self, key: str) -> str | None:
        try:
            return str(obstore.head(self._store, key)["e_tag"])
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise self._fault(key, error) from error

    def list(self, prefix: str = "") -> Iterator[str]:
        keys: list[str] = []
        try:
            for page in obstore.list(self._store, prefix or None):
                keys += [str(item["path"]) for item in page]
        except (BaseError, FileNotFoundError) as error:
            raise self._fault(prefix, error) from error
        yield from sorted(keys)

    def delete(self, keys: Iterable[str]) -> None:
        pending = list(keys)
        for start in range(0, len(pending), 1000):
            try:
                obstore.delete(self._store, pending[start : start + 1000])
            except (NotFoundError, FileNotFoundError):
                for key in pending[start : start + 1000]:
                    self._delete_one(key)
            except BaseError as error:
                raise self._fault(pending[start], error) from error

    def _delete_one(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as error:
            raise self._fault(key, error) from error

    def _fault(self, key: str, error: Exception) -> DataError:
        address = f"{self.url}/{key}"
        if isinstance(error, NotFoundError | FileNotFoundError):
            return DataError(address, "no such object", "check the address")
        return DataError(
            address, f"the storage refused the request: {_first_line(error)}", "check the address and the credentials"
        )


class FsspecStore(Store):
    """Any other filesystem that fsspec can write to, such as `hf://`.

    These have no conditional requests: only one run at a time may write below an address, and creation checks before it
    writes.
    """

    def __init__(self, url: str, filesystem: Any) -> None:
        super().__init__(url.rstrip("/"))
        self._fs = filesystem

    def _path(self, key: str) -> str:
        return f"{self.url}/{key}" if key else self.url

    def read(self, key: str) -> Versioned | None:
        with _explained(self._path(key)):
            try:
                data = bytes(self._fs.cat_file(self._path(key)))
            except FileNotFoundError:
                return None
        return Versioned(data, hashlib.sha256(data).hexdigest())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with _explained(self._path(key)):
            return bytes(self._fs.cat_file(self._path(key), start=start, end=start + length))

    def local(self, key: str) -> Path:
        path = self._path(key)
        with _explained(path):
            info = self._fs.info(path)
            identity = f"{path}\0{self._fs.checksum(path)}\0{info['size']}"
            return cached(identity, int(info["size"]), lambda target: self._fs.get_file(path, str(target)))

    def put(self, key: str, source: Path | bytes) -> None:
        with _explained(self._path(key)):
            if isinstance(source, bytes):
                self._fs.pipe_file(self._path(key), source)
            else:
                self._fs.put_file(str(source), self._path(key))

    def create(self, key: str, data: bytes) -> bool:
        found = self.read(key)
        if found is not None:
            return found.data == data
        self.put(key, data)
        return True

    def replace(self, key: str, data: bytes, version: str) -> bool:
        found = self.read(key)
        if found is None or found.version != version:
            return False
        self.put(key, data)
        return True

    def size(self, key: str) -> int | None:
        with _explained(self._path(key)):
            try:
                return int(self._fs.info(self._path(key))["size"])
            except FileNotFoundError:
                return None

    def list(self, prefix: str = "") -> Iterator[str]:
        root = str(self._fs._strip_protocol(self.url))
        with _explained(self._path(prefix)):
            names = sorted(str(n) for n in self._fs.find(self._path(prefix)))
        for name in names:
            yield name[len(root) :].lstrip("/")

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with _explained(self._path(key)):
                if self._fs.exists(self._path(key)):
                    self._fs.rm_file(self._path(key))


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Raise what a filesystem package reports as DataError. These errors have no base class in common: each package
    passes on those of the client that it uses."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(address, "no such object", "check the address") from None
    except Exception as error:
        if isinstance(error, ConfigError) or is_disk_full(error):  # of the scratch folder
            raise
        hint = "check the address, the network and the credentials"
        raise DataError(address, f"the storage refused the request: {_first_line(error)}", hint) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
