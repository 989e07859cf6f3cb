"""The files of a pool, in a stable order and under names that are the same on every machine."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

import fsspec
from fsspec import AbstractFileSystem

from dclm.core.errors import DataError, DclmError
from dclm.core.record import RECORD, fingerprint
from dclm.core.storage import is_local, sha256_file
from dclm.core.stores.hub import data_path
from dclm.pool.artifact import is_artifact, recorded_files
from dclm.pool.lists import expanded
from dclm.pool.remote import HttpFile
from dclm.pool.texts.layout import Fields

PoolKind = Literal["warc", "jsonl", "parquet", "csv"]

PACKED = (".gz", ".zst", ".zstd", ".lz4", ".bz2", ".xz")
"""Extensions of compressed files."""
_WARC = tuple(
    f"{stem}{packed}" for stem in (".warc", ".wet", ".wat") for packed in ("", ".gz", ".zst", ".zstd", ".lz4")
)
ARC = (".arc", ".arc.gz")
_JSONL = tuple(f"{stem}{packed}" for stem in (".jsonl", ".json", ".ndjson", ".jl") for packed in ("", *PACKED))
_CSV = tuple(f"{stem}{packed}" for stem in (".csv", ".tsv") for packed in ("", *PACKED))
ENDINGS: dict[str, PoolKind] = {
    **dict.fromkeys((*_WARC, *ARC), "warc"),
    **dict.fromkeys(_JSONL, "jsonl"),
    **dict.fromkeys(_CSV, "csv"),
    ".parquet": "parquet",
}
"""File extension → how it is read."""
_ALLOWED = (
    ".warc .wet .wat (plain, .gz, .zst, .lz4), .arc (plain, .gz), "
    ".jsonl .json .ndjson .jl .csv .tsv (plain, .gz, .zst, .lz4, .bz2, .xz), .parquet"
)
_PEEK_BYTES = 1 << 16
_DOCUMENT = re.compile(rb'\s*(?:\[\s*)?\{(?:[^{}\[\]]*,)?\s*"(?:text|content|raw_content)"\s*:\s*"')

_USUAL = Fields()


class ByteRange(NamedTuple):
    """A part of a file, in bytes."""

    offset: int
    length: int


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file of a pool."""

    path: str
    """Absolute local path or fsspec URL. Never part of an identity."""
    name: str
    """Unique within the pool and the same on every machine; `source` columns start with it."""
    kind: PoolKind
    size: int
    """Size in bytes, as stored (of the ranges, if there are any)."""
    ranges: tuple[ByteRange, ...] = ()
    """Read only these, each a whole compressed record; empty: the whole file."""
    part: ByteRange | None = None
    """Read only the records that begin in these bytes (of the uncompressed content, for JSON lines); None: all of
    them."""
    first_line: int = 0
    """For JSON lines: the number of lines that begin before `part`."""
    identity: str = ""
    """Identity of the file wherever it is stored, such as its path in Common Crawl; empty: the hash of its content."""
    artifact: bool = False
    """Whether the file belongs to the documents of an artifact, according to the record next to it."""
    source_name: str = ""
    """Value of the column `source_name` in its rows, with which `name` begins; empty: no such column is added."""
    fields: Fields = _USUAL
    """Fields of text, URL, id and date, and other fields to keep (JSON lines and Parquet)."""

    @property
    def added_columns(self) -> list[str]:
        """What decides about further columns of its rows: part of a pool's identity where there is any."""
        return (["artifact"] if self.artifact else []) + ([self.source_name] if self.source_name else [])


class PoolFiles(tuple[InputFile, ...]):
    """The files of a pool, and the files next to them that are not read."""

    unread: tuple[str, ...] = ()
    """Names of files in the given directories that have an unknown extension or contain no documents, in order."""


class _Found(NamedTuple):
    path: str
    name: str
    size: int
    order: int
    artifact: bool


def kind_of(path: str) -> PoolKind | None:
    """How a file of this name is read; None for an unknown extension."""
    name = path.lower()
    return next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)


def is_packed(path: str) -> bool:
    """Whether a file is compressed, according to its name."""
    return path.lower().endswith(PACKED)


def list_files(paths: Sequence[str]) -> PoolFiles:
    """The files that `paths` refer to, sorted by (index of the path in `paths`, name).

    A path is a file, a directory (searched recursively), a glob, or an artifact of kind pool or documents; local, an
    fsspec URL, `hf:ORG/NAME` for a data set in the local cache of the Hugging Face Hub, or `@FILE` for the paths in a
    list, one per line. In directories, hidden files
    are skipped; files with unknown extensions and plain `.json` files without documents (they usually describe the
    others) are named in `unread`. A file that several paths lead to, whether through `..` or links, counts once.
    Raises: DataError for a path that matches nothing, a broken link, a file with an unknown extension, or storage
    that does not answer.
    """
    found: dict[str, _Found] = {}
    unread: list[str] = []
    for order, path in enumerate(map(data_path, expanded(paths))):
        for item in _expand(path, order, unread):
            found.setdefault(os.path.realpath(item.path) if is_local(item.path) else item.path, item)
    items = _name_apart(list(found.values()))
    items.sort(key=lambda item: (item.order, item.name))
    files = []
    for item in items:
        kind = kind_of(item.path)
        assert kind is not None
        files.append(InputFile(path=item.path, name=item.name, kind=kind, size=item.size, artifact=item.artifact))
    pool = PoolFiles(files)
    pool.unread = tuple(dict.fromkeys(unread))
    return pool


def _expand(path: str, order: int, unread: list[str]) -> list[_Found]:
    if is_http(path) and kind_of(path) is not None and not any(c in path for c in "*?["):
        return [_Found(path, posixpath.basename(path), HttpFile(path).size(), order, False)]
    fs, root = _filesystem(path)
    with _asking(fs, path):
        if fs.isdir(root):
            return _directory(fs, root, path, order, unread)
        if fs.isfile(root):
            names = [root]
        else:
            names = sorted(str(n) for n in fs.glob(root) if not fs.isdir(n)) if any(c in root for c in "*?[") else []
        return _files(fs, names, path, order)


@contextmanager
def _asking(fs: AbstractFileSystem, path: str) -> Iterator[None]:
    """Turns the exceptions of a filesystem that cannot be accessed into a DataError."""
    try:
        yield
    except DclmError:
        raise
    except PermissionError as error:
        raise DataError(path, f"cannot be read: {error}", "check the permissions") from None
    except Exception as error:  # each remote filesystem has its own exceptions
        if _is_local(fs):
            raise
        what = f"its files cannot be listed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise DataError(path, what, "check the address, the network and the credentials") from error


def _files(fs: AbstractFileSystem, names: Sequence[str], path: str, order: int) -> list[_Found]:
    if not names:
        raise DataError(path, f"matches no file, allowed: a file, directory or glob of {_ALLOWED}", "check the path")
    unknown = [n for n in names if kind_of(n) is None]
    if unknown:
        raise DataError(unknown[0], f"unknown file extension, allowed: {_ALLOWED}")
    base = posixpath.commonpath([posixpath.dirname(n) for n in names])
    homes = {posixpath.dirname(n) for n in names}
    artifacts = {h for h in homes if posixpath.basename(h) == "documents" and is_artifact(fs, posixpath.dirname(h))}
    return [_found(fs, n, _relative(n, base), order, posixpath.dirname(n) in artifacts) for n in names]


def _directory(fs: AbstractFileSystem, root: str, path: str, order: int, unread: list[str]) -> list[_Found]:
    """The relevant files of a directory: the documents of a documents artifact, the WARC files of a pool, otherwise all
    readable files."""
    base = root.rstrip("/")
    artifact = is_artifact(fs, base) or (
        posixpath.basename(base) == "documents" and is_artifact(fs, posixpath.dirname(base))
    )
    recorded = recorded_files(fs, base)
    if fs.exists(f"{base}/{RECORD}"):
        base = next((f"{base}/{part}" for part in ("documents", "warc") if fs.isdir(f"{base}/{part}")), base)
    names = [str(name) for name in fs.find(base)]
    if gone := sorted({name for name in recorded if name.startswith(f"{base}/")} - set(names)):
        raise DataError(gone[0], f"no such file, although the {RECORD} of its artifact names it", "rebuild it")
    names = [n for n in names if not any(part.startswith(".") for part in _relative(n, base).split("/"))]
    readable = [n for n in names if kind_of(n) is not None and (not n.lower().endswith(".json") or _is_text(fs, n))]
    unread += [_relative(n, base) for n in sorted(set(names) - set(readable))]
    names = readable
    if not names:
        raise DataError(path, f"the directory contains no pool file, allowed: {_ALLOWED}", "check the path")
    return [_found(fs, n, _relative(n, base), order, artifact) for n in names]


def _is_text(fs: AbstractFileSystem, path: str) -> bool:
    """Whether a `.json` file begins with a document: an object with a text under one of its usual names."""
    with fs.open(path, "rb") as stream:
        start = stream.read(_PEEK_BYTES)
    return _DOCUMENT.match(start) is not None


def _found(fs: AbstractFileSystem, path: str, name: str, order: int, artifact: bool) -> _Found:
    try:
        size = int(fs.size(path) or 0)
    except FileNotFoundError:
        raise DataError(
            path, "is a link to a file that does not exist", "restore the file or remove the link"
        ) from None
    address = path if _is_local(fs) else str(fs.unstrip_protocol(path))
    return _Found(address, name, size, order, artifact)


def _filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    try:
        fs, root = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        what = f"no reader for this kind of address: {error}"
        raise DataError(path, what, "install the fsspec package of that storage, such as s3fs") from None
    return fs, str(root)


def _is_local(fs: AbstractFileSystem) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _relative(path: str, base: str) -> str:
    return path[len(base) :].lstrip("/") if base and path.startswith(base) else posixpath.basename(path)


def _name_apart(items: list[_Found]) -> list[_Found]:
    """Extend names that collide by leading parts of their paths until all are unique."""
    depth = {item.path: item.name.count("/") + 1 for item in items}
    while True:
        groups: dict[str, list[_Found]] = {}
        for item in items:
            groups.setdefault(item.name, []).append(item)
        clashing = {item.path for group in groups.values() if len(group) > 1 for item in group}
        if not clashing:
            return items
        for path in clashing:
            depth[path] += 1
        items = [
            item._replace(name="/".join(item.path.split("/")[-depth[item.path] :])) if item.path in clashing else item
            for item in items
        ]


def with_ranges(file: InputFile, ranges: Sequence[ByteRange]) -> InputFile:
    """The file restricted to these parts, in order of offset."""
    parts = tuple(sorted(ranges))
    return replace(file, ranges=parts, size=sum(part.length for part in parts))


def is_http(path: str) -> bool:
    """Whether the path is the address of a web server."""
    return path.startswith(("http://", "https://"))


def with_fields(files: PoolFiles, fields: Fields) -> PoolFiles:
    """The files with these locations of text, URL, id and date."""
    named = PoolFiles(replace(file, fields=fields) for file in files)
    named.unread = files.unread
    return named


def file_identity(file: InputFile, content: str | None = None) -> str:
    """sha256 of a local file; for a remote one, what its server reports (size, version), never its address.

    content: the sha256 of a local file, if it is known.

    Files of Common Crawl never change: their path there is their identity.
    """
    if file.fields != _USUAL:
        return fingerprint([file_identity(replace(file, fields=_USUAL), content), asdict(file.fields)])
    if is_local(file.path):
        return content or sha256_file(file.path)
    ranges = [list(r) for r in file.ranges]
    if file.identity:
        return fingerprint(["named", file.identity, ranges])
    if is_http(file.path):
        return fingerprint(["http", HttpFile(file.path).identity(), ranges])
    filesystem, path = _filesystem(file.path)
    with _asking(filesystem, file.path):
        checksum = str(filesystem.checksum(path))
    return fingerprint(["remote", file.size, checksum, ranges])
