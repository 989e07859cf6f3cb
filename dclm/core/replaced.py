"""The files that an earlier artifact left in a directory where another one is being made: only these may be deleted."""

from __future__ import annotations

import json

from dclm.core.errors import IncompleteError
from dclm.core.names import is_inside
from dclm.core.ownership import WORK
from dclm.core.record import RECORD, read_record
from dclm.core.store import Store

REPLACED = f"{WORK}/replaced.json"


def note_replaced(store: Store) -> None:
    """Save the names of the artifact's files before its record is deleted."""
    if store.size(RECORD) is None:
        return
    try:
        files = {entry.path for entry in read_record(store.url).files}
    except IncompleteError:  # not our record: the check of the directory refuses it
        return
    store.put(REPLACED, json.dumps(sorted(files | replaced_files(store))).encode())


def replaced_files(store: Store) -> set[str]:
    """The saved names, including those of unfinished runs; none if the list cannot be read."""
    found = store.read(REPLACED)
    try:
        names = json.loads(found.data) if found is not None else []
    except ValueError:
        return set()
    return {name for name in names if isinstance(name, str) and is_inside(name)} if isinstance(names, list) else set()
