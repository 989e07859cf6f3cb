"""Which files belong to this program: commands write only into empty places and into their own earlier output.

A directory belongs to it if it contains the record of the requested kind of artifact, or the mark of an unfinished run.
Inputs and outputs must not overlap, not even through links.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dclm.core.errors import ConfigError, IncompleteError
from dclm.core.record import RECORD, Kind, read_record
from dclm.core.storage import TEMPORARY, is_local
from dclm.core.stores.local_store import LocalStore
from dclm.core.stores.store import Store, open_store

WORK = ".work"
OWNER = f"{WORK}/owner.json"
"""Mark of an artifact that is being made; deleted once the record exists."""
MARK = ".dclm.json"
"""Mark of a directory that is ours but is not an artifact itself: a run, an experiment, a site."""
REPORT = "report.html"
"""Files that `dclm report` leaves in an artifact."""
_MACHINERY = (".lease.json", ".lock")
_EMPTY = "choose an empty or new directory"


def require_apart(out: Path | str, inputs: Iterable[Path | str]) -> None:
    """Raises: ConfigError if an input is in the output directory or the output is in an input, also through links."""
    target = _real(out)
    for given in inputs:
        source = _real(given)
        if source == target or source.startswith(f"{target}/"):
            raise ConfigError(str(out), f"would overwrite the input {given}", _EMPTY)
        if target.startswith(f"{source}/"):
            what = f"is inside the input {given}, which would then contain its own output"
            raise ConfigError(str(out), what, "choose a directory outside it")


def _real(address: Path | str) -> str:
    """The address without links, `..` and a trailing slash."""
    text = str(address)
    return os.path.realpath(text) if is_local(text) else text.rstrip("/")


def require_directory(
    out: Path | str, kind: Kind, inputs: Iterable[Path | str] = (), *, replaced: bool = False
) -> None:
    """Check that an artifact of this kind may be written at `out`; writes nothing itself.

    out: a local folder or a URL. It must be absent, empty, or ours. replaced: the whole folder is deleted when the
    artifact is made again, so it must not contain anything else. Raises: ConfigError naming the file found there, or an
    input that overlaps with it.
    """
    require_apart(out, inputs)
    store = _open(out)
    found = _first_of_others(store)
    if found is None:
        return
    _require_no_links(store)
    if not _is_ours(store, kind):
        raise ConfigError(str(out), f"contains files that were not made by this command, such as {found}", _EMPTY)
    if replaced:
        _require_nothing_else(store)


def claim_directory(out: Path | str, kind: Kind, inputs: Iterable[Path | str] = (), *, replaced: bool = False) -> None:
    """Same as `require_directory`, and marks the directory as ours from now on."""
    require_directory(out, kind, inputs, replaced=replaced)
    if not replaced:
        mark_directory(out, kind)


def mark_directory(out: Path | str, kind: Kind) -> None:
    """Leave the mark of an artifact that is being made. Call it before an earlier record is deleted."""
    _open(out).create(OWNER, _mark(kind))


def release_directory(out: Path | str) -> None:
    """Remove the mark: the record, which exists now, identifies the directory's owner."""
    store = _open(out)
    store.delete([OWNER])
    if isinstance(store, LocalStore):
        work = Path(store.url, WORK)
        if work.is_dir() and not os.listdir(work):
            work.rmdir()


def claim_folder(out: Path | str, kind: str, inputs: Iterable[Path | str] = (), *, known: Iterable[str] = ()) -> None:
    """Claim a directory that is not an artifact itself: it must be absent, empty, or have the mark of this kind.

    known: globs that only a directory of this kind has, for directories made before there were marks. Raises:
    ConfigError naming the file found there, or an input that overlaps with it.
    """
    require_apart(out, inputs)
    store = _open(out)
    found = _first_of_others(store)
    if found is not None and _marked(store, MARK) != kind:
        folder = Path(store.url) if isinstance(store, LocalStore) else None
        if folder is None or not any(next(folder.glob(pattern), None) for pattern in known):
            raise ConfigError(str(out), f"contains files that are not part of a {kind}, such as {found}", _EMPTY)
    store.create(MARK, _mark(kind))


def claim_file(
    path: Path,
    inputs: Iterable[Path | str] = (),
    *,
    force: bool = False,
    ours: Callable[[bytes], bool] = lambda content: False,
    hint: str = "choose another file, or pass --force to replace it",
) -> None:
    """Check that a file may be written: it does not exist, it is one of ours, or `force` was given.

    ours: whether the content of the existing file can only be that of an earlier call. hint: for commands that take no
    `--force`. Raises: ConfigError otherwise,
    for a directory, and (even with `force`) for one of the inputs.
    """
    target = _real(path)
    if any(target == _real(given) for given in inputs):
        raise ConfigError(str(path), "is one of the inputs", "choose another output file")
    if path.is_dir():
        raise ConfigError(str(path), "is a directory", "choose a file, not a directory")
    if path.exists() and not force and not ours(path.read_bytes()):
        raise ConfigError(str(path), "already exists", hint)


def _open(out: Path | str) -> Store:
    return open_store(str(Path(out).absolute()) if is_local(str(out)) else str(out))


def _mark(kind: str) -> bytes:
    return (json.dumps({"made_by": "dclm", "kind": kind}, sort_keys=True) + "\n").encode()


def _marked(store: Store, key: str) -> str | None:
    """The kind that a mark states."""
    found = store.read(key)
    try:
        value = None if found is None else json.loads(found.data)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("made_by") != "dclm":
        return None
    return str(value.get("kind"))


def _is_ours(store: Store, kind: Kind) -> bool:
    """Raises: ConfigError for an artifact of another kind, DataError for a record that was changed."""
    if _marked(store, OWNER) == kind:
        return True
    if isinstance(store, LocalStore) and kind == "checkpoint" and next(Path(store.url).glob(_UNMARKED_RUN), None):
        return True
    if store.size(RECORD) is None:
        return False
    try:
        found = read_record(store.url).kind
    except IncompleteError:
        return False
    if found != kind:
        raise ConfigError(store.url, f"contains an artifact of kind {found}, allowed: {kind}", _EMPTY)
    return True


_UNMARKED_RUN = "checkpoints/step-*/state.json"
"""Files of an unfinished training run of an earlier version, which left no mark."""


def _names(store: Store) -> Iterator[str]:
    """The entries directly in the directory, or, in an object store, below it."""
    if not isinstance(store, LocalStore):
        yield from store.list()
        return
    if not os.path.isdir(store.url):
        if os.path.lexists(store.url):
            raise ConfigError(store.url, "is a file, allowed: a directory", _EMPTY)
        return
    yield from sorted(os.listdir(store.url))


def _first_of_others(store: Store) -> str | None:
    """The first entry in the directory that is not an internal file of this program."""
    for name in _names(store):
        if name not in _MACHINERY and not name.startswith(TEMPORARY) and not _is_unmarked_work(store, name):
            return name
    return None


def _is_unmarked_work(store: Store, name: str) -> bool:
    """Whether this is the work folder of a run that was killed before it could leave its mark there."""
    if name != WORK or not isinstance(store, LocalStore):
        return False
    folder = Path(store.url, WORK)
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(entry.startswith(TEMPORARY) for entry in os.listdir(folder))


def _require_no_links(store: Store) -> None:
    """Raises: ConfigError for a link in the directory, through which something outside it would be written."""
    if isinstance(store, LocalStore):
        for name in os.listdir(store.url):
            path = os.path.join(store.url, name)
            if os.path.islink(path):
                what = f"contains a link, {name} → {os.readlink(path)}, which would redirect writes elsewhere"
                raise ConfigError(store.url, what, "replace it with its target, or choose another directory")


def _require_nothing_else(store: Store) -> None:
    """Raises: ConfigError if a directory that is to be replaced contains files that its record does not name."""
    if store.size(RECORD) is None:
        return
    known = {entry.path for entry in read_record(store.url).files} | {RECORD, REPORT, OWNER, *_MACHINERY}
    for name in store.list():
        if name not in known:
            what = f"would be replaced, but contains a file that is not part of the artifact: {name}"
            raise ConfigError(store.url, what, "move that file away, or choose another directory")
