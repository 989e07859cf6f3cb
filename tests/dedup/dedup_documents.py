"""Documents as shards of batches, and decisions as plain sets."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dclm.curate.global_step import Decision

Shards = list[list[pa.RecordBatch]]


def table(decision: Decision, name: str) -> pa.Table:
    return pa.concat_tables(decision.tables[name])


def make_shards(texts: Sequence[str], shards: int = 3, rows: int = 7, **columns: Sequence[object]) -> Shards:
    """Contiguous shards of batches of at most `rows` documents; document i has the id `d<i>`."""
    size = -(-max(len(texts), 1) // shards)
    return [_shard(texts, columns, range(len(texts))[s * size : (s + 1) * size], rows) for s in range(shards)]


def _shard(texts: Sequence[str], columns: dict[str, Sequence[object]], which: range, rows: int) -> list[pa.RecordBatch]:
    batches = []
    for start in range(0, max(len(which), 1), rows):
        part = which[start : start + rows]
        fields = {
            "id": pa.array([f"d{i}" for i in part], pa.string()),
            "text": pa.array([texts[i] for i in part], pa.string()),
            "_row": pa.array(range(start, start + len(part)), pa.int64()),
        }
        for name, values in columns.items():
            fields[name] = pa.array([values[i] for i in part], pa.string())
        batches.append(pa.RecordBatch.from_pydict(fields))
    return batches


def ids(shards: Shards) -> list[int]:
    """The numbers of the existing documents, in order."""
    return [int(name[1:]) for shard in shards for batch in shard for name in batch.column("id").to_pylist()]


def replaced(decision: Decision, shards: Shards) -> dict[int, int]:
    """Dropped document → document kept instead."""
    place = {
        (shard, row): int(name[1:])
        for shard, batches in enumerate(shards)
        for batch in batches
        for row, name in zip(batch.column("_row").to_pylist(), batch.column("id").to_pylist(), strict=True)
    }
    rows = decision.all_drops().to_pylist()
    return {place[r["shard"], r["row"]]: place[r["kept_shard"], r["kept_row"]] for r in rows}
