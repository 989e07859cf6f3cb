"""Reuse and replacement of artifacts: only the files that an earlier artifact left may be deleted."""

from __future__ import annotations

import json
from collections.abc import Callable

from dclm.core.errors import IncompleteError
from dclm.core.names import is_inside
from dclm.core.record import RECORD, Kind, Record, find_record, read_record
from dclm.core.stages.lease import LEASE, abandoned
from dclm.core.stages.ownership import WORK
from dclm.core.stores.store import Store, delete_tree, join, open_store

REPLACED = f"{WORK}/replaced.json"


def reused(home: str, kind: Kind, identity: str, force: bool, say: Callable[[str], None]) -> Record | None:
    """The finished artifact at `home` if it has this identity, announced with `say`.

    Raises: ConfigError if a finished artifact of another identity is there and `force` is not given.
    """
    found = find_record(home, kind, identity, force=force)
    if found is None:
        return None
    made = found.provenance.get("finished")
    say(f"{home}: reused" + (f", made {made}" if made else ""))
    store = open_store(home)
    if abandoned(store):  # left by a run that was killed after writing its record
        delete_tree(join(home, WORK))
        store.delete([LEASE])
    return found


def note_replaced(store: Store) -> None:
    """Save the names of the artifact's files before its record is deleted."""
    if store.size(RECORD) is None:
        return
    try:
        files = {entry.path for entry in read_record(store.url).files}
    except IncompleteError:  # not our record: the check of the directory refuses it
        return
    store.put(REPLACED, json.dumps(sorted(files | replaced_files(store))).encode())


def delete_artifact(store: Store) -> None:
    """Delete a finished artifact: its record first, so that no half of it is ever found, then the files it names."""
    if store.size(RECORD) is None:
        return
    names = [entry.path for entry in read_record(store.url).files]
    store.delete([RECORD])
    store.delete(names)


def replaced_files(store: Store) -> set[str]:
    """The saved names, including those of unfinished runs; none if the list cannot be read."""
    found = store.read(REPLACED)
    try:
        names = json.loads(found.data) if found is not None else []
    except ValueError:
        return set()
    return {name for name in names if isinstance(name, str) and is_inside(name)} if isinstance(names, list) else set()
