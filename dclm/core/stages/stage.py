"""The one way a stage runs: identity → reuse → lease → units → commit → record.

A stage supplies its identity and a function that makes the artifact in a `Workspace`. Units of work are pure functions
of their inputs that leave files below an address; finished units are listed in the stage's journal, from which a killed
stage continues. The record is written last; without it, the artifact does not exist.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from dclm.core.errors import DataError
from dclm.core.packed import Packed
from dclm.core.record import RECORD, Kind, Record, provenance, write_record
from dclm.core.stages.engine import Engine, staged
from dclm.core.stages.journal import Journal, Outcome
from dclm.core.stages.lease import Lease, held
from dclm.core.stages.ownership import WORK, mark_directory, require_directory
from dclm.core.stages.progress import Progress
from dclm.core.stages.replaced import note_replaced, replaced_files, reused
from dclm.core.stages.unit_files import (
    CONSUMED,
    FILES,
    VERSIONS,
    consumed,
    files_are_intact,
    present_files_are_intact,
    publish,
    unit_files,
)
from dclm.core.storage import is_local, remove_temporary
from dclm.core.stores.store import absolute, delete_tree, join, open_store


class Unit(Protocol):
    """A piece of a stage's work: a small picklable value."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything that determines its output."""

    @property
    def directory(self) -> str:
        """Address below which its files are published."""


U = TypeVar("U", bound=Unit)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished(Generic[U]):
    """A finished unit."""

    index: int
    """Index among the units."""
    unit: U
    outcome: Outcome


@dataclasses.dataclass(kw_only=True)
class Workspace:
    """The workspace of a stage: the artifact's address, a folder for work files, and the engine that schedules its
    units."""

    out: str
    engine: Engine
    progress: Progress
    lease: Lease
    journal: Journal
    finished: Packed[str]
    """Fingerprint of a finished unit → its outcome."""
    unchecked: set[str]
    """Units finished by an earlier run whose files have not been verified yet."""
    used: Packed[str] = dataclasses.field(default_factory=Packed)
    """The finished units that make up this artifact."""
    say: Callable[[str], None] = lambda line: None
    """Called with a message about each finished unit whose files have changed."""
    num_reused: int = 0
    """Number of units that `run_units` found finished."""

    @property
    def work(self) -> str:
        """Address of the folder for work files, deleted when the artifact is complete."""
        return join(self.out, WORK)

    def run_units(
        self,
        function: Callable[[U], Outcome],
        units: Iterable[U],
        label: str,
        *,
        total: int | None = None,
        items: Callable[[Outcome], int] = lambda outcome: 0,
        one_gpu_each: bool = False,
        need_consumed: bool = False,
    ) -> Iterator[Finished[U]]:
        """Yield the finished units, then run the others and yield them in order of completion.

        units: must be iterable twice and yield the same units each time; a million of them need not be in memory.
        need_consumed: files that later work consumes must still exist, or else their unit runs again.

        Files left by an earlier run are first compared with their hashes; units whose files have changed are run again.
        Raises: DataError if files that later work consumes have changed, and what they were made from may be gone.
        """
        self.progress.start(label, total)
        todo: list[int] = []
        for index, unit in enumerate(units):
            outcome = self.finished.get(unit.fingerprint)
            if outcome is None or not self._is_intact(unit, outcome, need_consumed):
                self.finished.pop(unit.fingerprint, None)
                todo.append(index)
                continue
            self.used.share(unit.fingerprint, self.finished)
            self.num_reused += 1
            self.progress.advance()
            yield Finished(index=index, unit=unit, outcome=outcome)
        running: dict[int, U] = {}
        for number, outcome in self.engine.map(function, _chosen(units, todo, running), one_gpu_each=one_gpu_each):
            unit = running.pop(number)
            self._note(unit, outcome)
            self.progress.advance(items=items(outcome))
            yield Finished(index=todo[number], unit=unit, outcome=outcome)
        self.journal.flush()
        self.progress.finish()

    def sweep(self, folders: Iterable[str], mine: Set[str]) -> None:
        """Delete the files of earlier work in these folders of the artifact ("": anywhere in it), except `mine`. Only
        files named in its record or journal are deleted; foreign files stay.
        """
        store = open_store(self.out)
        known = replaced_files(store)
        for outcome in self.finished.values():
            files = outcome.get(FILES)
            known.update(files if isinstance(files, Mapping) else ())
        starts = tuple(f"{folder}/" if folder else "" for folder in folders)
        store.delete(sorted(name for name in known - mine if name.startswith(starts)))

    def _note(self, unit: Unit, outcome: Outcome) -> None:
        self.lease.check()
        self.finished[unit.fingerprint] = outcome
        self.used.share(unit.fingerprint, self.finished)
        self.journal.add(unit.fingerprint, outcome)

    def _is_intact(self, unit: Unit, outcome: Outcome, consumed: bool = False) -> bool:
        if unit.fingerprint not in self.unchecked:
            return True
        self.unchecked.discard(unit.fingerprint)
        if files_are_intact(unit.directory, outcome, consumed):
            if not consumed and not present_files_are_intact(unit.directory, outcome):
                raise self._changed(unit)  # what they were made from may be gone
            return True
        if not (consumed and files_are_intact(unit.directory, outcome)):
            self.say(f"{unit.directory}: has changed since it was written, and is made again")
        return False

    def require_intact(self, unit: Unit) -> bool:
        """Whether a unit is finished that cannot run again, because what it was made from is gone.

        Raises: DataError if its files have changed since.
        """
        outcome = self.finished.get(unit.fingerprint)
        if outcome is not None and not self._is_intact(unit, outcome):
            raise self._changed(unit)
        return outcome is not None

    def _changed(self, unit: Unit) -> DataError:
        hint = f"delete {self.work}, from which it was reused, and run again"
        return DataError(unit.directory, "has changed since it was written", hint)

    def run_one(self, function: Callable[[U], Outcome], unit: U) -> Outcome:
        """Run one unit in this process, or reuse it if it is finished."""
        outcome = self.finished.get(unit.fingerprint)
        if outcome is None or not self._is_intact(unit, outcome):
            outcome = function(unit)
            self._note(unit, outcome)
            self.journal.flush()
        self.used.share(unit.fingerprint, self.finished)
        return outcome


def _chosen(units: Iterable[U], places: Sequence[int], running: dict[int, U]) -> Iterator[U]:
    """The units at these indices, in order, each noted in `running` under its number among them."""
    wanted = iter(enumerate(places))
    number, place = next(wanted, (0, -1))
    for index, unit in enumerate(units):
        if index == place:
            running[number] = unit
            yield unit
            number, place = next(wanted, (0, -1))


@contextlib.contextmanager
def open_workspace(
    home: str, engine: Engine, progress: Progress, lease: Lease, say: Callable[[str], None]
) -> Iterator[Workspace]:
    """The workspace at `home`, whose lease is held, with the units that earlier runs have finished."""
    if is_local(home):
        remove_temporary(Path(home))
    journal = Journal(open_store(home), f"{WORK}/journal")
    finished: Packed[str] = Packed()
    finished.update(journal.read())
    try:
        yield Workspace(
            out=home,
            engine=engine,
            progress=progress,
            lease=lease,
            journal=journal,
            finished=finished,
            unchecked=set(finished),
            say=say,
        )
    finally:
        journal.flush()


def run_stage(
    out: str | Path,
    *,
    kind: Kind,
    identity: str,
    make: Callable[[Workspace], Record],
    engine: Engine,
    progress: Progress,
    inputs: Iterable[str | Path] = (),
    started: float | None = None,
    wait: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Make the artifact at `out`, or reuse it if it exists with this identity.

    out: a local folder or a URL. make: makes everything except the record's `provenance`, to which it may contribute.
    inputs: files and directories that are read, which the output must not overlap. force: replace a finished artifact
    of another identity. say: called with a message when an artifact is reused or a run is waited for. Raises:
    IncompleteError if another run is writing at `out` (with `wait`, waits for that run instead), ConfigError if `out`
    holds something that was not made by this kind of stage, or a finished artifact that may not be replaced.
    """
    started = time.time() if started is None else started
    home = absolute(out)
    require_directory(home, kind, inputs)
    if (found := reused(home, kind, identity, force, say)) is not None:
        return found
    with held(home, wait=wait, say=say) as lease:
        if (found := reused(home, kind, identity, force, say)) is not None:
            return found  # made by another run while this one waited
        store = open_store(home)
        mark_directory(home, kind)
        note_replaced(store)
        store.delete([RECORD])
        with staged(engine, kind) as chosen, open_workspace(home, chosen, progress, lease, say) as space:
            record = make(space)
        lease.check()
        assert record.kind == kind
        assert record.fingerprint == identity
        record = dataclasses.replace(record, provenance={**provenance(started), **record.provenance})
        record = write_record(home, record)
        delete_tree(join(home, WORK))
    return record


__all__ = [
    "CONSUMED",
    "FILES",
    "VERSIONS",
    "Finished",
    "Unit",
    "Workspace",
    "consumed",
    "files_are_intact",
    "publish",
    "run_stage",
    "unit_files",
]
