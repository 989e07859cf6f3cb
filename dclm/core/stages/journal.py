"""The finished units of a stage and their outcomes: a few numbered objects instead of one small file per unit.

Entry N is created only if it does not exist, so two drivers can never both continue: the second one to write an entry
finds that it exists, and stops. An entry is JSON lines: a header with the hash of the rest, then one line per unit.
`HEAD` holds the number from which to read on; it is a shortcut, since merged entries contain everything before them. An
entry that was changed is ignored: its units run again.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping

from dclm.core.errors import IncompleteError
from dclm.core.stores.store import Store

HEAD = "HEAD"
FLUSH_SECONDS = 2.0
"""A crash repeats at most this many seconds of finished work, plus the running units."""
FLUSH_UNITS = 20_000
MERGE_ENTRIES = 64
"""If there are more entries than this, they are merged into one when a run starts."""

Outcome = Mapping[str, object]


class Journal:
    """The journal below a prefix of a store. It has one driver that writes it; call `read` once before writing."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._next = 0
        self._pending: list[tuple[str, Outcome]] = []
        self._flushed = float("-inf")
        self._token = uuid.uuid4().hex

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def read(self, *, merge: bool = True) -> Iterator[tuple[str, Outcome]]:
        """`(unit, outcome)` of everything written so far, oldest first: a later outcome replaces an earlier one.

        merge: whether many entries may be replaced by one, which only the driver that holds the lease may do.
        """
        first = self._next = self._first()
        while (entry := self._store.read(self._key(_name(self._next)))) is not None:
            for line in _whole_lines(entry.data):
                unit, outcome = json.loads(line)
                yield unit, outcome
            self._next += 1
        if merge and self._next - first > MERGE_ENTRIES:
            self._merge(first)

    def _first(self) -> int:
        """The number to read from: the content of `HEAD`, or the first existing entry if `HEAD` cannot be read."""
        head = self._store.read(self._key(HEAD))
        if head is None:
            return 0
        if head.data.isdigit() and self._store.size(self._key(_name(int(head.data)))) is not None:
            return int(head.data)
        names = (key.rpartition("/")[2].partition(".")[0] for key in self._store.list(f"{self._prefix}/"))
        return min((int(name) for name in names if name.isdigit()), default=0)

    def _merge(self, first: int) -> None:
        """Write entries `first` … as one new entry, and point `HEAD` at it."""
        units: dict[bytes, bytes] = {}
        for number in range(first, self._next):
            entry = self._store.read(self._key(_name(number)))
            assert entry is not None
            for line in _whole_lines(entry.data):
                units[line[: line.index(b",")]] = line
        merged = self._next
        self._write(b"".join(line + b"\n" for line in units.values()))
        self._store.put(self._key(HEAD), str(merged).encode())
        self._store.delete([self._key(_name(number)) for number in range(first, merged)])

    def add(self, unit: str, outcome: Outcome) -> None:
        """Record that a unit is finished; written within `FLUSH_SECONDS`, or by `flush`."""
        self._pending.append((unit, outcome))
        if time.monotonic() - self._flushed > FLUSH_SECONDS or len(self._pending) >= FLUSH_UNITS:
            self.flush()

    def flush(self) -> None:
        """Write everything added since the last flush. Raises: IncompleteError if another driver has written in the
        meantime."""
        if self._pending:
            lines = [json.dumps([unit, outcome], separators=(",", ":")) for unit, outcome in self._pending]
            self._write("".join(f"{line}\n" for line in lines).encode())
            self._pending = []
        self._flushed = time.monotonic()

    def _write(self, lines: bytes) -> None:
        header = {"driver": self._token, "entry": self._next, "sha256": hashlib.sha256(lines).hexdigest()}
        content = json.dumps(header).encode() + b"\n" + lines
        if not self._store.create(self._key(_name(self._next)), content):
            what = f"entry {self._next} of its journal was written by another run"
            raise IncompleteError(f"{self._store.url}/{self._prefix}", what, "wait for the other run to finish")
        self._next += 1


def _whole_lines(entry: bytes) -> list[bytes]:
    """The lines of an entry after its header; none if they were changed."""
    header, _, lines = entry.partition(b"\n")
    try:
        expected = json.loads(header)["sha256"]
    except (ValueError, KeyError, TypeError):
        return []
    return lines.splitlines() if hashlib.sha256(lines).hexdigest() == expected else []


def _name(number: int) -> str:
    return f"{number:06d}.jsonl"
