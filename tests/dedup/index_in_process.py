"""Indexes of batches, written without an engine, in the files that `dclm.curate.indexes.index` writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
from dedup_documents import Shards

from dclm.core.record import Record, canonical, describe_files, write_record
from dclm.curate.indexes.units import distinct_keys
from dclm.curate.output.files import write_tables
from dclm.curate.step import Context
from dclm.dedup.bloom.filter import empty_filter, size_for
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.bloom.stored import FILTER, write_filter
from dclm.dedup.index.blocks import SUFFIX, block_sums
from dclm.dedup.index.indexed import KIND, PARTITIONS, Indexed, KeyIndexed
from dclm.dedup.index.relation import key_path, set_path, with_sums
from dclm.dedup.serial import partitions


def against(step: Indexed, *indexes: Path) -> Indexed:
    return dataclasses.replace(step, against=tuple(map(str, indexes)))  # type: ignore[call-arg]


def keep_index(step: KeyIndexed, shards: Shards, out: Path) -> Path:
    """Write an index of the documents in `shards`."""
    context = Context()
    emit_sets = step.index_sets(context)
    keys = {}
    for relation, emit in step.index_keys(context).items():
        emitted = [
            found.append_column("shard", pa.array([shard] * found.num_rows, pa.int32()))
            for shard, batches in enumerate(shards)
            for found in map(emit, batches)
        ]
        tables = list(partitions(emitted, PARTITIONS))
        tables = tables if emit_sets is not None else list(map(distinct_keys, tables))
        keys[relation] = sum(table.num_rows for table in tables)
        for number, table in enumerate(tables):
            path = out / key_path(0, relation, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tables(path, [table])
            write_tables(Path(str(path).removesuffix(".arrow") + SUFFIX), [block_sums(0, table.combine_chunks())])
    for shard, batches in enumerate(shards if emit_sets is not None else ()):
        assert emit_sets is not None
        path = out / set_path(0, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tables(path, [pa.Table.from_batches([with_sums(emit_sets(batch))]) for batch in batches])
    return _recorded(step, out, {"runs": [{"documents": None, "keys": keys}]})


def keep_filter(step: Bloom, shards: Shards, out: Path, room: int) -> Path:
    """Write a filter of the documents in `shards` with room for that many n-grams."""
    out.mkdir(parents=True, exist_ok=True)
    size = size_for(room, step.fp_rate)
    words = empty_filter(size)
    measure, deduplicate = step.measure(Context()), step.into(words, size.probes)
    total = 0
    for batch in (batch for batches in shards for batch in batches):
        total += measure(batch)
        deduplicate(batch)
    write_filter(out / FILTER, words)
    return _recorded(step, out, {"keys": total, "room": room, "blocks": size.blocks, "probes": size.probes})


def _recorded(step: Indexed, out: Path, counts: dict[str, object]) -> Path:
    write_record(
        out,
        Record(
            kind=KIND,
            name=step.name,
            fingerprint="",
            config={"step": step.name, "settings": canonical(step.stated())},
            counts=counts,
            files=describe_files(out),
        ),
    )
    return out
