"""Identity of work: fingerprints, and `record.json`, which is written last and without which an artifact does not
exist."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dclm import __version__
from dclm.core.errors import ConfigError, DataError, IncompleteError, without_passwords
from dclm.core.names import is_inside
from dclm.core.storage import sha256_file
from dclm.core.stores import store

Kind = Literal["pool", "documents", "tokens", "checkpoint", "scores", "classifier", "model", "index"]
RECORD = "record.json"
_LIBRARIES = (
    "fasttext-community", "fastokens", "fastwarc", "lm-eval", "numba", "numpy", "pyarrow", "ray", "resiliparse",
    "tokenizers", "torch", "trafilatura", "transformers",
)  # fmt: skip


def canonical(value: object) -> object:
    """The JSON form of a configuration value; dataclasses become their class name, `version` and fields.

    Raises: ConfigError for anything without a stable form (paths, functions, objects, NaN).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__qualname__, "version": getattr(value, "version", 1), **fields}
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    what = f"{type(value).__name__} {value!r:.60} has no stable form"
    raise ConfigError("fingerprint", what, "use text, numbers, lists, maps or dataclasses")


def fingerprint(value: object) -> str:
    """sha256 (hex) of the canonical JSON of `value`: class, version and fields; never paths, hosts or source text."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of an artifact."""

    path: str
    """Path relative to the artifact."""
    sha256: str
    bytes: int
    rows: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The description of an artifact: its kind, its inputs and its contents."""

    kind: Kind
    name: str
    fingerprint: str
    config: Mapping[str, object]
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Role → fingerprint of the artifact or file used as input."""
    input_digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Role → `digest` of the record of an input artifact, which identifies its content, not only its recipe."""
    counts: Mapping[str, object] = dataclasses.field(default_factory=dict)
    files: tuple[FileEntry, ...] = ()
    missing: tuple[str, ...] = ()
    """Parts that could not be made. Later stages refuse the artifact unless explicitly allowed."""
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Versions, commit, host, times. Not part of the fingerprint."""
    digest: str = ""
    """sha256 over the rest of the record except `provenance`; filled in by `write_record`."""


def digest_of(record: Record) -> str:
    """The digest that a record with this content must have: equal for artifacts of equal content."""
    content = _as_json(record)
    del content["provenance"], content["digest"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(record: Record) -> str:
    """Hash of the content of an artifact's files, independent of its inputs and location."""
    return fingerprint([record.kind, sorted([f.path, f.sha256] for f in record.files)])


def provenance(started: float, cpu_seconds: float | None = None) -> dict[str, object]:
    """Versions, git commit, host, and wall and CPU seconds since `started` (`time.time()`)."""
    return {
        "dclm": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "libraries": _versions(),
        "host": platform.node(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.time() - started, 3),
        "cpu_seconds": round(time.process_time() if cpu_seconds is None else cpu_seconds, 3),
    }


@cache
def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def describe_files(root: Path, rows: Mapping[str, int] | None = None) -> tuple[FileEntry, ...]:
    """Entries for every file under `root` except the record and hidden files (a lease, work files), sorted by path."""
    rows = rows or {}
    paths = sorted(p for p in root.rglob("*") if p.is_file() and p.name != RECORD)
    paths = [p for p in paths if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    names = [p.relative_to(root).as_posix() for p in paths]
    return tuple(
        FileEntry(path=n, sha256=sha256_file(p), bytes=p.stat().st_size, rows=rows.get(n))
        for n, p in zip(names, paths, strict=True)
    )


def write_record(root: Path | str, record: Record) -> Record:
    """Write `record.json` and return its content. Call it last: its presence means that everything else is complete."""
    text = without_passwords(json.dumps(_as_json(record), ensure_ascii=False))
    plain = _build(json.loads(text))
    record = dataclasses.replace(plain, digest=digest_of(plain))
    text = json.dumps(_as_json(record), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    store.put(store.join(root, RECORD), text.encode())
    return record


def _as_json(record: Record) -> dict[str, Any]:
    return {**vars(record), "files": [vars(entry) for entry in record.files]}


def _build(data: dict[str, Any]) -> Record:
    files = tuple(FileEntry(**f) for f in data["files"])
    return Record(**{**data, "files": files, "missing": tuple(data["missing"])})


def read_record(root: Path | str) -> Record:
    """The record of the artifact at `root`.

    Raises: IncompleteError if it is missing or invalid, DataError if it was changed after it was written.
    """
    path = store.join(root, RECORD)
    try:
        content = store.read_bytes(path)
        if content is None:
            raise FileNotFoundError(path)
        record = _build(json.loads(content))
        if outside := [f.path for f in record.files if not is_inside(f.path)]:
            raise ValueError(f"names a file outside its directory: {outside[0]!r:.80}")
    except FileNotFoundError:
        raise IncompleteError(
            str(root),
            f"no {RECORD}: not an artifact, or one that was not finished",
            "run its stage again; finished work is reused",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        what = f"not the record of an artifact: {type(error).__name__}: {error}"
        raise IncompleteError(path, what, "delete it and run the stage again") from None
    if record.digest and record.digest != digest_of(record):
        what = f"was changed after it was written: its content has the digest {digest_of(record)[:12]}…"
        what += f", allowed: {record.digest[:12]}…, as stated in it"
        hint = "restore an intact copy, or move the directory away and run the stage again"
        raise DataError(path, what, hint)
    return record


def require_recorded(address: Path | str, sha256: str) -> None:
    """Compare the hash of a file with the record in its folder, if there is one that names it.

    Raises: DataError if the file does not match the record.
    """
    root, _, name = str(address).rpartition("/")
    if not root or not store.exists(store.join(root, RECORD)):
        return
    try:
        expected = next((entry.sha256 for entry in read_record(root).files if entry.path == name), sha256)
    except IncompleteError:  # a foreign file of that name
        return
    if sha256 != expected:
        what = f"found sha256 {sha256[:12]}…, allowed: {expected[:12]}… as in its record"
        raise DataError(str(address), what, "the file has changed: rebuild it, or restore an intact copy")


_KEEP = "choose another directory, or pass --force to replace it"


def find_record(
    root: Path | str, kind: Kind, expected: str, *, force: bool = False, hint: str = _KEEP
) -> Record | None:
    """The record at `root` if it exists and has the fingerprint `expected` (then the work can be reused).

    force: a finished artifact of this kind with another fingerprint may be replaced. One of another kind is left for
    `dclm.core.stages.ownership` to refuse. Raises: ConfigError with `hint` if it exists and may not be replaced.
    """
    if not store.exists(store.join(root, RECORD)):
        return None
    record = read_record(root)
    if record.fingerprint == expected:
        return record
    if record.kind == kind and not force:
        made = record.provenance.get("finished", "at an unknown time")
        what = f"holds finished {kind} `{record.name}`, made {made} with fingerprint {record.fingerprint[:12]}; "
        raise ConfigError(str(root), f"{what}this call would replace it with fingerprint {expected[:12]}", hint)
    return None


def require_complete(root: Path | str, kind: Kind, allow_missing: bool = False) -> Record:
    """The record of a finished artifact of `kind`.

    Raises: ConfigError if it is of another kind; IncompleteError if parts are missing and that is not allowed.
    """
    record = read_record(root)
    if record.kind != kind:
        raise ConfigError(str(root), f"found an artifact of kind {record.kind}, allowed: {kind}")
    if record.missing and not allow_missing:
        what = f"{len(record.missing)} parts are missing, first: {record.missing[0]}"
        raise IncompleteError(str(root), what, "fix the input and run again, or pass --allow-incomplete")
    return record
