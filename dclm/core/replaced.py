"""Which files an earlier artifact left at a place where another is being made: only those may be swept."""

from __future__ import annotations

import json

from dclm.core.errors import IncompleteError
from dclm.core.names import is_inside
from dclm.core.ownership import WORK
from dclm.core.record import RECORD, read_record
from dclm.core.store import Store

REPLACED = f"{WORK}/replaced.json"


def note_replaced(store: Store) -> None:
    """Write down which files the artifact has whose record is about to be deleted."""
    if store.size(RECORD) is None:
        return
    try:
        files = {entry.path for entry in read_record(store.url).files}
    except IncompleteError:  # not a record of ours: whoever checks the directory refuses it
        return
    store.put(REPLACED, json.dumps(sorted(files | replaced_files(store))).encode())


def replaced_files(store: Store) -> set[str]:
    """The names that were written down, also by runs that did not end; none where that cannot be read."""
    found = store.read(REPLACED)
    try:
        names = json.loads(found.data) if found is not None else []
    except ValueError:
        return set()
    return {name for name in names if isinstance(name, str) and is_inside(name)} if isinstance(names, list) else set()
