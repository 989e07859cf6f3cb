"""Files of host ranks as sorted tables of hashes that processes share through the page cache.

Common Crawl's files have tab-separated lines below a header of names, each with a leading `#`:
`harmonicc_pos`, `harmonicc_val`, `pr_pos`, `pr_val` and `host_rev`, the host with its labels in reverse order and
without `www.`, such as `org.example.news`.
"""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv

from dclm.assets.cache import cache_root, lock
from dclm.core.arrow import Column, filled, to_list
from dclm.core.errors import AssetError
from dclm.core.storage import atomic_directory, sha256_file
from dclm.filters.url.domain_set import fnv1a
from dclm.text.buffers import utf8

HOST = "host_rev"
_GZIP = b"\x1f\x8b"
_LONGEST_HEADER = 4096
_VERSION = 1  # version of the tables in the cache


@dataclasses.dataclass(frozen=True)
class RankTable:
    """Values indexed by host."""

    keys: npt.NDArray[np.uint64]
    """Hashes of the reversed hosts, sorted."""
    values: npt.NDArray[np.float64]

    def values_of(self, hosts: pa.StringArray) -> Column:
        """The value of each host (`news.example.org`), null for unknown hosts."""
        wanted = fnv1a(*utf8(filled(reversed_hosts(hosts), "")))
        if not len(self.keys):
            return pa.nulls(len(hosts), pa.float64())
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        known = (self.keys[place] == wanted) & np.asarray(hosts.is_valid())
        return pa.array(self.values[place], mask=~known)


def reversed_hosts(hosts: pa.StringArray) -> pa.StringArray:
    """`news.example.org` → `org.example.news`."""
    encoded = hosts.dictionary_encode()
    names = [".".join(reversed(host.split("."))) for host in to_list(encoded.dictionary)]
    return pa.array(names, pa.string()).take(encoded.indices)


def open_ranks(path: Path, field: str) -> RankTable:
    """The table of one field of a ranks file, made in the cache unless it already exists.

    Raises: AssetError if the file has no such field, or is not a table of host ranks.
    """
    if path.is_dir():
        raise AssetError(str(path), "found a directory, allowed: a file of host ranks", "name the file in it")
    folder = cache_root() / "ranks" / f"{sha256_file(path)[:16]}-{field}-{_VERSION}"
    with lock(folder.name):
        if not folder.is_dir():
            table = _read(path, field)
            with atomic_directory(folder) as made:
                np.save(made / "keys.npy", table.keys)
                np.save(made / "values.npy", table.values)
    return RankTable(np.load(folder / "keys.npy", mmap_mode="r"), np.load(folder / "values.npy", mmap_mode="r"))


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _read(path: Path, field: str) -> RankTable:
    keys: list[npt.NDArray[np.uint64]] = []
    values: list[npt.NDArray[np.float64]] = []
    try:
        with _opened(path) as stream:
            header = stream.readline(_LONGEST_HEADER)
            names = [name.strip().lstrip("#") for name in header.decode("utf-8").split("\t")]
            if HOST not in names or field not in names:
                what = f"found the fields {', '.join(names)[:200]}, allowed: {HOST} and {field} among them"
                raise AssetError(str(path), what, "give a host-ranks file of Common Crawl's web graph")
            rows = csv.open_csv(
                stream,
                csv.ReadOptions(column_names=names),
                csv.ParseOptions(delimiter="\t", quote_char=False),
                csv.ConvertOptions(
                    column_types={HOST: pa.string(), field: pa.float64()}, include_columns=[HOST, field]
                ),
            )
            for batch in rows:
                keys.append(fnv1a(*utf8(batch.column(HOST))))
                values.append(batch.column(field).to_numpy(zero_copy_only=False))
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        what = f"not a table of host ranks: {str(error).splitlines()[0]}"
        raise AssetError(str(path), what, "copy the file again") from None
    key = np.concatenate([np.zeros(0, np.uint64), *keys])
    value = np.concatenate([np.zeros(0), *values])
    order = np.argsort(key, kind="stable")
    return RankTable(key[order], value[order])
