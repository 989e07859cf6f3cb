"""The files of a unit of work: published below its address with their hashes, and compared with these later."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dclm.core.stages.journal import Outcome
from dclm.core.storage import is_local, sha256_file
from dclm.core.stores.cache import scratch_directory
from dclm.core.stores.store import join, local_file, split

FILES = "files"
"""Key of an outcome: name of each file that a unit left → [bytes, sha256]."""
CONSUMED = "consumed"
"""The same for files that are deleted once later work has consumed them."""
VERSIONS = "versions"
"""Name of a file in an object store → the version that the store gave it, which shows whether it has changed."""


@contextlib.contextmanager
def unit_files(address: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A local folder to work in, and the unit's outcome; at the end, the files in it are published below `address`.

    The outcome records the CPU seconds that this process used in the meantime, and the bytes and sha256 of each file.
    """
    before = time.process_time()
    near = address if is_local(address) else None
    outcome: dict[str, Any] = {}
    with scratch_directory(near) as directory:
        yield directory, outcome
        versions: dict[str, str] = {}
        outcome[FILES] = publish(directory, address, versions)
        if versions:
            outcome[VERSIONS] = versions
    outcome.setdefault("cpu_seconds", round(time.process_time() - before, 3))


def publish(directory: Path, address: str, versions: dict[str, str] | None = None) -> dict[str, list[Any]]:
    """Move or upload every file of a folder to an address; returns `name → [bytes, sha256]`.

    versions: is filled with the version of each file that an object store now has.
    """
    found: dict[str, list[Any]] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        found[name] = [path.stat().st_size, sha256_file(path)]
        store, key = split(join(address, name))
        store.put(key, path)
        if versions is not None and (version := store.version(key)) is not None:
            versions[name] = version
    return found


def consumed(outcome: dict[str, Any], suffix: str = "") -> dict[str, Any]:
    """The outcome of a unit whose files (those with this suffix) are deleted once later work has consumed them."""
    files = outcome[FILES]
    names = [name for name in files if name.endswith(suffix)]
    lasting = {name: file for name, file in files.items() if name not in names}
    return {**outcome, CONSUMED: {name: files[name] for name in names}, FILES: lasting}


def files_are_intact(address: str, outcome: Outcome, with_consumed: bool = False) -> bool:
    """Whether a unit's files are unchanged: compares the content on a disk, the version in an object store."""
    return _are_intact(address, outcome, (FILES, CONSUMED) if with_consumed else (FILES,))


def present_files_are_intact(address: str, outcome: Outcome) -> bool:
    """Whether those of a unit's consumed files that still exist are unchanged."""
    return _are_intact(address, outcome, (CONSUMED,), missing=True)


def _are_intact(address: str, outcome: Outcome, keys: tuple[str, ...], missing: bool = False) -> bool:
    """missing: whether files may be missing."""
    files = [outcome.get(key, {}) for key in keys]
    for name, (size, digest) in (item for found in files if isinstance(found, Mapping) for item in found.items()):
        store, key = split(join(address, name))
        found_size = store.size(key)
        if found_size is None and missing:
            continue
        if found_size != size:
            return False
        version = _versions(outcome).get(name)
        if version is not None and store.version(key) != version:
            return False
        if is_local(address) and sha256_file(local_file(join(address, name))) != digest:
            return False
    return True


def _versions(outcome: Outcome) -> Mapping[str, str]:
    versions = outcome.get(VERSIONS)
    return versions if isinstance(versions, Mapping) else {}
