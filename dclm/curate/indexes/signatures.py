"""Indexes of signatures without documents: made elsewhere, or by an index that keeps them, for other bands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from dclm.core.arrow import large_lists
from dclm.core.errors import ConfigError
from dclm.core.record import FileEntry, Record, canonical, fingerprint, read_record, require_complete
from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stage import FILES, Workspace, run_stage, unit_files
from dclm.core.stores.store import join
from dclm.curate.indexes.index import write_keys
from dclm.curate.options import VERSION
from dclm.curate.output.files import write_tables
from dclm.dedup.columns import U64
from dclm.dedup.groups.clusters import Parts
from dclm.dedup.index.indexed import KIND, PARTITIONS
from dclm.dedup.index.relation import set_path, sets_of_index, with_sums
from dclm.dedup.minhash.known import BANDS
from dclm.dedup.minhash.lsh import band_keys
from dclm.dedup.minhash.signatures import Signatures
from dclm.dedup.minhash.step import MinHash

_BATCH = 8192


def stored_signatures(index: str) -> Iterator[U64]:
    """The signatures that an index keeps, in the order of its documents; batches of shape (documents, permutations).

    Documents without shingles have none and are left out. Raises: ConfigError if the index keeps none.
    """
    record = read_record(index)
    settings = cast(dict[str, Any], record.config.get("settings", {}))
    if record.kind != KIND or settings.get("verify") != "signatures":
        hint = "make it with `dclm dedup index … --signatures`"
        raise ConfigError(index, "keeps no signatures", hint)
    length = settings["bands"] * settings["rows"]
    for table in sets_of_index(index):
        values = large_lists(table.column("shingles")).flatten().to_numpy()
        yield values.reshape(-1, length)


def index_of_signatures(
    step: MinHash, batches: Iterable[U64], source: str, out: str, engine: Engine, *, force: bool = False
) -> Record:
    """An index of signatures for the step, which verifies by them or only needs keys of bands.

    batches: arrays of shape (documents, bands · rows), read once for each of the 16 partitions, so that memory holds a
    sixteenth of the keys at a time: 1.25 bytes per document and band. source: an identity of their content.
    force: replace a finished index of another identity.
    Raises: ConfigError if the step verifies by shingles, or needs another number of permutations.
    """
    if step.verify is not None and step.verify_by == "shingles":
        what = "verifies with shingles, which signatures do not contain"
        raise ConfigError(step.name, what, "set `verify_by: signatures`, or leave out `verify`")
    named = step.verify is not None
    identity = fingerprint(["index of signatures", VERSION, step.name, step.stated(), source])

    def make(space: Workspace) -> Record:
        keys = (_keys(step, batches, partition, named) for partition in range(PARTITIONS))
        entries = [*write_keys(space.out, BANDS, keys)]
        count = sum(entry.rows or 0 for entry in entries)
        documents = sum(len(batch) for batch in batches)
        if named:
            with unit_files(join(space.out, "sets", "0000")) as (directory, outcome):
                write_tables(directory / set_path(0, 0).rpartition("/")[2], _sets(step, batches))
            entries += _entries("sets/0000", outcome)
        return Record(
            kind=KIND,
            name=step.name,
            fingerprint=identity,
            config={"step": step.name, "settings": canonical(step.stated())},
            inputs={"signatures": source},
            counts={
                "documents": documents,
                "rejected": 0,
                "runs": [{"documents": documents, "keys": {BANDS: count}}],
                "bytes": sum(entry.bytes for entry in entries),
            },
            files=tuple(sorted(entries, key=lambda entry: entry.path)),
        )

    progress = NullProgress()
    return run_stage(out, kind=KIND, identity=identity, make=make, engine=engine, progress=progress, force=force)


def rebanded_index(step: MinHash, index: str, out: str, engine: Engine, *, force: bool = False) -> Record:
    """An index for other bands and rows, from the signatures of an existing one.

    The number of permutations, bands · rows, must be the same: another number draws other permutations.
    Raises: ConfigError if other settings differ, or the index keeps no signatures; IncompleteError if it lacks parts.
    """
    record = require_complete(index, KIND)
    found, wanted = cast(dict[str, Any], record.config["settings"]), cast(dict[str, Any], canonical(step.stated()))
    same = [name for name in wanted if name not in ("bands", "rows", "verify")]
    different = [name for name in same if found.get(name) != wanted[name]]
    if different:
        what = f"found an index with {different[0]}: {found.get(different[0])}, allowed: {wanted[different[0]]}"
        raise ConfigError(index, f"{what}, as in the step", "use the index's settings in the step")
    batches = Parts(lambda: stored_signatures(index))
    next(iter(batches), None)  # refuses an index without signatures
    if found["bands"] * found["rows"] != step.bands * step.rows:
        what = f"found signatures of {found['bands'] * found['rows']} permutations, allowed: {step.bands * step.rows}"
        raise ConfigError(index, what, "choose bands and rows with the same product")
    return index_of_signatures(step, batches, fingerprint([f.sha256 for f in record.files]), out, engine, force=force)


def identity_of(batches: Iterable[U64]) -> str:
    """An identity of signatures: their sha256."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(np.ascontiguousarray(batch).tobytes())
    return digest.hexdigest()


def _keys(step: MinHash, batches: Iterable[U64], partition: int, named: bool) -> pa.Table:
    """The sorted keys of one partition; with the documents that have them, or each once."""
    keys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    start = 0
    for values in batches:
        found, places = band_keys(
            Signatures(values, np.ones(len(values), np.int64), np.zeros(len(values), np.uint64)), step.bands, step.rows
        )
        mine = found % np.uint64(PARTITIONS) == partition
        keys.append(found[mine])
        rows.append(places[mine] + start)
        start += len(values)
    key, row = np.concatenate(keys), np.concatenate(rows)
    if not named:
        return pa.Table.from_pydict({"key": np.unique(key)})
    order = np.lexsort((row, key))
    return pa.Table.from_pydict({"key": key[order], "shard": np.zeros(len(key), np.int32), "row": row[order]})


def _sets(step: MinHash, batches: Iterable[U64]) -> Iterator[pa.Table]:
    start = 0
    for values in batches:
        for first in range(0, len(values), _BATCH):
            part = values[first : first + _BATCH]
            yield _set_table(part, start + first)
        start += len(values)
    yield _set_table(np.zeros((0, step.bands * step.rows), np.uint64), start)


def _set_table(values: U64, start: int) -> pa.Table:
    offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))
    rows = pa.array(np.arange(start, start + len(values)), pa.int64())
    return pa.Table.from_batches([with_sums(pa.RecordBatch.from_pydict({"row": rows, "shingles": lists}))])


def _entries(folder: str, outcome: dict[str, Any]) -> Sequence[FileEntry]:
    found = cast(dict[str, tuple[int, str]], outcome[FILES])
    return [FileEntry(path=f"{folder}/{name}", sha256=digest, bytes=size) for name, (size, digest) in found.items()]
