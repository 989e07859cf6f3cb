"""The identity of each file of a pool, and where the lines of its parts begin: what must be known before it is read.

A unit is identified by the content of its files, and documents without an id get one from their line in the file. Both
are found in one reading of a file, and are remembered on this machine as long as the file stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dclm.core.errors import DataError
from dclm.core.stages.engine import Engine
from dclm.core.storage import is_local
from dclm.core.stores.cache import scratch
from dclm.pool.files import ByteRange, InputFile, file_identity, is_packed
from dclm.pool.recorded import Stamp, stamps
from dclm.pool.streams import GuardedStream, open_stream, utf8_text

SETTLED_NS = 2 * 10**9
"""What is known of a file is remembered if it was last changed this long before it was read. A later change within the
same tick of the filesystem's clock could go unnoticed otherwise."""
_READ_BYTES = 1 << 20
_VERSION = 1
_ROWS_AT_ONCE = 1000


class Known(NamedTuple):
    """What `survey` finds."""

    identity: str
    """`file_identity` of the file."""
    lines_before: tuple[int, ...]
    """Number of lines that begin before each of its parts; 0 unless it is JSON lines in parts."""


def survey(files: Sequence[InputFile]) -> Known:
    """The identity of one file, and the number of lines that begin before each of its parts, from one reading.

    files: the file itself, or all its parts in order.
    """
    first = replace(files[0], part=None)
    parts = [file.part for file in files if file.part is not None]
    if not parts or first.kind != "jsonl":
        return Known(file_identity(first), (0,) * len(files))
    with contextlib.closing(_HashingStream(first.path)) as stream:
        lines = tuple(_lines_before(parts, stream))
        content = stream.sha256() if is_local(first.path) else None
    return Known(file_identity(first, content), lines)


def survey_all(
    pool: Sequence[Sequence[InputFile]],
    engine: Engine,
    now_ns: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Known]:
    """`survey` of every file of a pool, without reading those whose findings are remembered.

    pool: for each file, itself or all its parts in order. now_ns: the time of the system's clock, before anything was
    read. advance: called once for each file.
    """
    before = stamps([files[0] for files in pool])
    keys = [_key(files) for files in pool]
    found = _recall(zip(keys, before, strict=True))
    todo = [index for index, key in enumerate(keys) if key not in found]
    for _ in range(len(pool) - len(todo)):
        advance()
    fresh: dict[int, Known] = {}
    for number, known in engine.map(survey, (pool[index] for index in todo)):
        fresh[todo[number]] = known
        advance()
    _remember(
        (keys[index], before[index], known)
        for index, known in fresh.items()
        if _is_settled(pool[index][0], before[index], now_ns)
    )
    return [fresh[index] if index in fresh else found[key] for index, key in enumerate(keys)]


def _is_settled(file: InputFile, before: Stamp | None, now_ns: int) -> bool:
    """Whether a local file was at rest before it was read, and has not changed since."""
    if before is None or max(before[1:3]) > now_ns - SETTLED_NS:
        return False
    with contextlib.suppress(FileNotFoundError):
        return stamps([file]) == [before]
    return False


def _key(files: Sequence[InputFile]) -> bytes:
    """Identifies a file on this machine, and what is asked about it."""
    first = files[0]
    asked = [_VERSION, first.path, first.kind, first.fields, [file.part for file in files]]
    return hashlib.blake2b(repr(asked).encode(), digest_size=16).digest()


@contextlib.contextmanager
def _memory() -> Iterator[sqlite3.Connection]:
    """The findings in local files, in a database in this user's scratch folder."""
    path = scratch() / "pool-files.sqlite"
    columns = "key blob primary key, stamp text, identity text, lines text"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=600)) as database:
            database.execute(f"create table if not exists found ({columns}) without rowid")
            yield database
    except sqlite3.DatabaseError as error:
        raise DataError(str(path), f"cannot be used: {error}", "delete it: the pool is read again") from None


def _recall(files: Iterable[tuple[bytes, Stamp | None]]) -> Mapping[bytes, Known]:
    """Key → findings in a file whose stamp is still the same."""
    found = {}
    ask = "select stamp, identity, lines from found where key = ?"
    with _memory() as database:
        for key, stamp in files:
            row = None if stamp is None else database.execute(ask, (key,)).fetchone()
            if row is not None and row[0] == repr(stamp):
                found[key] = Known(row[1], tuple(map(int, row[2].split())))
    return found


def _remember(found: Iterable[tuple[bytes, Stamp | None, Known]]) -> None:
    """Store findings in place of those in an earlier state of the same files."""
    rows = ((key, repr(stamp), known.identity, " ".join(map(str, known.lines_before))) for key, stamp, known in found)
    with _memory() as database, database:
        database.executemany("insert or replace into found values (?, ?, ?, ?)", rows)


class _HashingStream(GuardedStream):
    """A stream that hashes what is read from it, in the order of the file."""

    def __init__(self, path: str) -> None:
        super().__init__(open_stream(path), path)
        self._digest = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        data = super().read(size)
        if start <= self._hashed < start + len(data):
            self._digest.update(memoryview(data)[self._hashed - start :])
            self._hashed = start + len(data)
        return data

    def sha256(self) -> str:
        """The hash (hex) of the whole file, whose rest is read."""
        self.seek(self._hashed)
        while self.read(_READ_BYTES):
            pass
        return self._digest.hexdigest()


def _lines_before(parts: Sequence[ByteRange], stream: GuardedStream) -> Iterator[int]:
    """The number of lines that begin before each of the parts that a file consists of."""
    path = stream.path
    ends, last, rest = 0, b"", b""
    content = utf8_text(stream, path, []) if is_packed(path) else iter(lambda: stream.read(_READ_BYTES), b"")
    for part in parts:
        yield ends + (last not in (b"", b"\n"))
        left = part.length
        while left > 0 and (data := rest or next(content, b"")):
            data, rest = data[:left], data[left:]
            ends, last = ends + data.count(b"\n"), data[-1:]
            left -= len(data)
