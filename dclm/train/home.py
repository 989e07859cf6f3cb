"""Where a training run is stored: its own folder, or an object store mirrored by a folder on this machine.

Ranks read and write local files. With a URL as the run's home, the first rank publishes every checkpoint as soon as it
is complete and records it in the run's journal; a resumed run, on any machine, begins with the last one recorded.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from dclm.core.cache import scratch
from dclm.core.journal import Journal
from dclm.core.ownership import WORK
from dclm.core.record import FileEntry, Record, write_record
from dclm.core.replaced import delete_artifact
from dclm.core.stage import publish
from dclm.core.storage import is_local
from dclm.core.store import delete_tree, exists, join, local_file, open_store, put
from dclm.model.load import CHECKPOINTS
from dclm.train.metrics import METRICS


class Home:
    """A run's folder, which is its home."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self.folder = Path(address)

    def pull(self) -> None:
        """Copy the output of an earlier run to this machine. Called by the first rank before anything else."""

    def discard(self) -> None:
        """Delete the output of an earlier run, finished or not. Called by the first rank."""
        delete_artifact(open_store(self.address))
        for folder in {str(self.folder), self.address}:
            delete_tree(join(folder, CHECKPOINTS))
            open_store(folder).delete([METRICS])

    def push_checkpoint(self, path: Path) -> None:
        """Publish a complete checkpoint, and everything written so far."""

    def finish(self, record: Record) -> None:
        """Publish everything that is not yet published, the record last."""
        write_record(self.folder, record)


class Mirror(Home):
    """A folder on this machine that mirrors a run in an object store. All ranks are on this machine."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        name = hashlib.sha256(address.encode()).hexdigest()[:16]
        self.folder = scratch() / "train" / name
        self._journal = Journal(open_store(address), f"{WORK}/journal")
        self._pushed: set[str] = set()

    def pull(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        noted = dict(self._journal.read())
        if not noted:
            return
        last = max(noted, key=lambda name: (len(name), name))
        self._pushed = set(noted)
        files = noted[last]["files"]
        assert isinstance(files, dict)
        for name in files:
            self._fetch(f"{CHECKPOINTS}/{last}/{name}")
        if exists(join(self.address, METRICS)):
            self._fetch(METRICS)

    def discard(self) -> None:
        super().discard()
        delete_tree(join(self.address, WORK, "journal"))
        self._journal = Journal(open_store(self.address), f"{WORK}/journal")
        self._pushed = set()

    def _fetch(self, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local_file(join(self.address, name)), target)

    def push_checkpoint(self, path: Path) -> None:
        kept = {each.name for each in path.parent.iterdir()}
        copy = self.folder / f".push-{path.name}"
        shutil.copytree(path, copy)  # publishing may move files
        files = publish(copy, join(self.address, CHECKPOINTS, path.name))
        shutil.rmtree(copy)
        put(join(self.address, METRICS), (self.folder / METRICS).read_bytes())
        self._journal.add(path.name, {"files": files})
        self._journal.flush()
        self._pushed.add(path.name)
        for name in sorted(self._pushed - kept):
            delete_tree(join(self.address, CHECKPOINTS, name))
            self._pushed.discard(name)

    def finish(self, record: Record) -> None:
        for entry in self._unpublished(record.files):
            put(join(self.address, entry.path), (self.folder / entry.path).read_bytes())
        write_record(self.address, record)
        delete_tree(join(self.address, WORK))
        shutil.rmtree(self.folder)

    def _unpublished(self, files: Iterable[FileEntry]) -> list[FileEntry]:
        done = tuple(f"{CHECKPOINTS}/{name}/" for name in self._pushed)
        return [entry for entry in files if not entry.path.startswith(done or ("\0",))]


def open_home(address: str | Path) -> Home:
    """The home of a run at a local path or a URL."""
    return Home(Path(address).absolute()) if is_local(str(address)) else Mirror(str(address))
