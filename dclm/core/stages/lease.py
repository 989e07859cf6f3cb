"""Who writes below an address: a small object that one run holds, renews while it lives, and passes on when it ends.

A run that finds a lease waits, leaves, or takes over: at once if the holder was a process on this machine that no
longer exists, otherwise if the lease was not renewed for `EXPIRY_SECONDS` on the observer's own clock. Clocks of
different machines are never compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from dclm.core.errors import IncompleteError
from dclm.core.stores.store import Store, Versioned, open_store

LEASE = ".lease.json"
BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0
"""A holder that has not renewed its lease for this many seconds is considered dead."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lease."""

    token: str
    host: str
    pid: int
    process: str
    """Boot and start time of the process, because a process id alone may be reused."""
    since: str
    beat: int = 0
    """Number of renewals."""

    @classmethod
    def this_process(cls) -> Holder:
        """The holder of a new lease: this process, as of now."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        return cls(token=uuid.uuid4().hex, host=platform.node(), pid=pid, process=_process(pid), since=now)

    @property
    def is_gone(self) -> bool:
        """Whether it was a process on this machine that no longer runs."""
        return self.host == platform.node() and _process(self.pid) != self.process

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class Lease:
    """A held lease. Call `check` before anything is committed: a run that was considered dead must stop."""

    def __init__(self, store: Store, holder: Holder, version: str) -> None:
        self._store, self.holder, self._version = store, holder, version
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """Raises: IncompleteError if another run has taken over."""
        if self._lost.is_set():
            raise IncompleteError(self._store.url, "another run took over because this one did not renew its lease")

    def beat(self) -> bool:
        """Renew once; False if the lease is lost."""
        holder = dataclasses.replace(self.holder, beat=self.holder.beat + 1)
        data = _encode(holder)
        if not self._store.replace(LEASE, data, self._version):
            self._lost.set()
            return False
        found = self._store.read(LEASE)
        if found is None or found.data != data:
            self._lost.set()
            return False
        self.holder, self._version = holder, found.version
        return True

    def _keep(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            if not self.beat():
                return

    def release(self) -> None:
        """Release the lease, unless it is lost."""
        self._done.set()
        self._thread.join()
        found = self._store.read(LEASE)
        if found is not None and _decode(found.data) == self.holder:
            self._store.delete([LEASE])


@contextlib.contextmanager
def held(address: str | Path, *, wait: bool = False, say: Callable[[str], None] = lambda line: None) -> Iterator[Lease]:
    """Hold the lease of an address while the block runs.

    wait: wait until another run ends, instead of raising. Raises: IncompleteError if a live run holds the lease.
    """
    store = open_store(str(address))
    mine = Holder.this_process()
    found = _acquire(store, mine, wait, say)
    lease = Lease(store, mine, found.version)
    try:
        yield lease
    finally:
        lease.release()


def abandoned(store: Store) -> bool:
    """Whether nobody is writing here: the lease is missing, or its holder was a process on this machine that no longer
    exists."""
    found = store.read(LEASE)
    holder = None if found is None else _decode(found.data)
    return found is None or holder is None or holder.is_gone


def _acquire(store: Store, mine: Holder, wait: bool, say: Callable[[str], None]) -> Versioned:
    data = _encode(mine)
    watched: bytes | None = None
    since = time.monotonic()
    told = False
    while True:
        if store.create(LEASE, data):
            found = store.read(LEASE)
            if found is not None and found.data == data:
                return found
            continue
        found = store.read(LEASE)
        if found is None:
            continue
        if found.data != watched:
            watched, since = found.data, time.monotonic()
        holder = _decode(found.data)
        stale = time.monotonic() - since > EXPIRY_SECONDS
        if stale or holder is None or holder.is_gone:
            if store.replace(LEASE, data, found.version):
                say(f"{store.url}: taken over from {holder}, which has ended")
                again = store.read(LEASE)
                if again is not None and again.data == data:
                    return again
            continue
        alive = holder.host == platform.node()
        if alive and not wait:
            hint = "wait until it ends, or choose another --out"
            raise IncompleteError(store.url, f"another run is writing here: {holder}", hint)
        if not told:
            say(f"{store.url}: {holder} is writing here; waiting for it to end or to stop renewing its lease")
            told = True
        time.sleep(min(1.0, EXPIRY_SECONDS / 4))
        if not wait and _renewed(store, found):
            hint = "wait until it ends, or choose another --out"
            raise IncompleteError(store.url, f"another run is writing here: {holder}", hint)


def _renewed(store: Store, before: Versioned) -> bool:
    """Whether the holder has renewed its lease since then."""
    found = store.read(LEASE)
    return found is not None and found.data != before.data


def _process(pid: int) -> str:
    """The machine's boot and the process's start; empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "" if Path("/proc").exists() else str(pid)
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else f"{boot}:{fields[19]}"


def _encode(holder: Holder) -> bytes:
    return (json.dumps(dataclasses.asdict(holder), sort_keys=True) + "\n").encode()


def _decode(data: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None
