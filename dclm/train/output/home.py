"""Where a training run is stored: its own folder, or an object store that folders on its machines mirror.

Ranks read and write local files. With a URL as the run's home, every node has a folder for its ranks. What they wrote
of a checkpoint is published from there as soon as all of it is complete, and then the first rank records the checkpoint
in the run's journal. A resumed run, on any machines, begins with the last one recorded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dclm.core.record import RECORD, FileEntry, Record, write_record
from dclm.core.stages.journal import Journal
from dclm.core.stages.ownership import WORK
from dclm.core.stages.replaced import delete_artifact
from dclm.core.stages.stage import publish
from dclm.core.storage import is_local
from dclm.core.stores.cache import scratch
from dclm.core.stores.store import Store, delete_tree, exists, join, local_file, open_store, put
from dclm.model.load import CHECKPOINTS, list_checkpoints
from dclm.train.distributed.ranks import Ranks
from dclm.train.output.metrics import METRICS


class Home:
    """A run's folder, which is its home, and which all ranks share."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self.folder = Path(address)

    def unfinished(self) -> str | None:
        """The name of the last checkpoint of a run that is not finished; None if there is no such run."""
        existing = [] if (self.folder / RECORD).exists() else list_checkpoints(self.folder)
        return existing[-1].name if existing else None

    def begin(self, ranks: Ranks, is_another: Callable[[], bool]) -> None:
        """Fill every folder with the run's last checkpoint. `is_another`, which only the first rank asks: whether what
        is there belongs to another run, and is to be deleted. Called by all ranks, once the first one has the lease.
        """
        ranks.wait()  # for the lease: nobody else adds checkpoints from now on
        if ranks.keeps_folder:
            self.pull()
        ranks.wait()
        if ranks.tell("discard" if ranks.is_first and is_another() else ""):
            if ranks.is_first:
                self.discard()
            if ranks.keeps_folder:
                self.clear()
        ranks.wait()

    def pull(self) -> None:
        """Copy the output of an earlier run to this folder. Called by each keeper of a folder before anything else."""

    def clear(self) -> None:
        """Delete the output of an earlier run from this folder. Called by each keeper."""
        delete_tree(str(self.folder / CHECKPOINTS))
        open_store(str(self.folder)).delete([METRICS])

    def discard(self) -> None:
        """Delete the output of an earlier run, finished or not, for everyone. Called by the first rank."""
        delete_artifact(open_store(self.address))

    def push_checkpoint(self, path: Path, ranks: Ranks, keep: int) -> None:
        """Publish a complete checkpoint, and everything written so far. The last `keep` checkpoints stay. Called by all
        ranks together.
        """

    def finish(self, record: Record, keep: int) -> None:
        """Publish everything that is not yet published, the record last. Called by the first rank."""
        write_record(self.folder, record)

    def leave(self, ranks: Ranks) -> None:
        """Delete what only the run needed. Called by all ranks, the first one after `finish`."""
        ranks.wait()


class Mirror(Home):
    """A folder of one node that mirrors a run in an object store."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        name = f"{platform.node()}:{address}"  # nodes may have put their scratch folders on a disk that they share
        self.folder = scratch() / "train" / hashlib.sha256(name.encode()).hexdigest()[:16]
        self._journal = Journal(self._store, f"{WORK}/journal")
        self._pushed: dict[str, Mapping[str, Any]] = {}
        """Name of each checkpoint in the store → name, bytes and sha256 of its files."""
        self._deleted: set[str] = set()
        """Checkpoints that an earlier process may not have deleted completely."""

    @property
    def _store(self) -> Store:
        return open_store(self.address)

    def unfinished(self) -> str | None:
        return None if self._store.size(RECORD) is not None else _last(dict(self._journal.read(merge=False)))

    def pull(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        noted = {name: _files(outcome) for name, outcome in self._journal.read(merge=False)}
        self._pushed = {name: files for name, files in noted.items() if files}
        self._deleted = noted.keys() - self._pushed.keys()
        last = _last(self._pushed)
        if last is None:
            return
        for name in self._pushed[last]:
            self._fetch(f"{CHECKPOINTS}/{last}/{name}")
        if exists(join(self.address, METRICS)):
            self._fetch(METRICS)

    def clear(self) -> None:
        super().clear()
        self._pushed, self._deleted = {}, set()

    def discard(self) -> None:
        super().discard()
        for name in (f"{WORK}/journal", CHECKPOINTS):  # the journal must never name a checkpoint that is gone
            delete_tree(join(self.address, name))
        self._store.delete([METRICS])
        self._journal = Journal(self._store, f"{WORK}/journal")

    def _fetch(self, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local_file(join(self.address, name)), target)

    def push_checkpoint(self, path: Path, ranks: Ranks, keep: int) -> None:
        parts = ranks.collect(self._publish(path) if ranks.keeps_folder else {})
        if not ranks.is_first:
            return
        files = {name: file for part in parts for name, file in part.items()}
        put(join(self.address, METRICS), (self.folder / METRICS).read_bytes())
        self._journal.add(path.name, {"files": files})
        self._journal.flush()
        self._pushed[path.name] = files
        self._prune(keep)

    def _prune(self, keep: int) -> None:
        """Delete all checkpoints but the last `keep`. The folder may have fewer: it was filled with one."""
        names = sorted(self._pushed, key=_age)[:-keep]
        for name in names:
            self._journal.add(name, {"files": {}})
            del self._pushed[name]
        self._journal.flush()
        for name in sorted(self._deleted.union(names)):
            delete_tree(join(self.address, CHECKPOINTS, name))
        self._deleted = set()

    def _publish(self, path: Path) -> dict[str, list[Any]]:
        """Upload what this folder has of a checkpoint."""
        copy = self.folder / f".push-{path.name}"
        shutil.copytree(path, copy, copy_function=os.link)  # publishing may move files
        files = publish(copy, join(self.address, CHECKPOINTS, path.name))
        shutil.rmtree(copy)
        return files

    def finish(self, record: Record, keep: int) -> None:
        self._prune(keep)
        files = {entry.path: entry for entry in record.files}
        for checkpoint, published in self._pushed.items():
            for name, (size, sha256) in published.items():  # other folders may have some of them
                path = f"{CHECKPOINTS}/{checkpoint}/{name}"
                files[path] = FileEntry(path=path, sha256=sha256, bytes=size)
        done = tuple(f"{CHECKPOINTS}/{name}/" for name in self._pushed)
        for path in files:
            if not path.startswith(done):
                put(join(self.address, path), (self.folder / path).read_bytes())
        write_record(self.address, dataclasses.replace(record, files=tuple(files[path] for path in sorted(files))))
        delete_tree(join(self.address, WORK))

    def leave(self, ranks: Ranks) -> None:
        if ranks.keeps_folder:
            shutil.rmtree(self.folder)
        super().leave(ranks)


def _last(checkpoints: Iterable[str]) -> str | None:
    return max(checkpoints, key=_age, default=None)


def _age(checkpoint: str) -> tuple[int, str]:
    return len(checkpoint), checkpoint  # numbers of more than six digits are longer


def _files(outcome: Mapping[str, object]) -> Mapping[str, Any]:
    files = outcome["files"]
    assert isinstance(files, dict)
    return files


def open_home(address: str | Path) -> Home:
    """The home of a run at a local path or a URL."""
    return Home(Path(address).absolute()) if is_local(str(address)) else Mirror(str(address))


def shared_by(address: str | Path) -> str:
    """Identifies the folder that a rank of this machine works in, for a run at a local path, which all ranks share, or
    at a URL. A node may be one of several containers of a machine, or a machine may stand for several nodes.
    """
    if is_local(str(address)):
        return ""
    found = scratch().stat()
    return f"{platform.node()}:{scratch()}:{found.st_dev}:{found.st_ino}"
