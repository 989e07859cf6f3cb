"""Units of work of an exchange: key files are merged, partitions reduced, and keys emitted again for some documents."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import consumed, unit_files
from dclm.core.stores.cache import scratch_directory
from dclm.curate.exchange.keys import KeyWriter, map_partition
from dclm.curate.exchange.pieces import pieces
from dclm.curate.global_step import Global
from dclm.curate.output.files import map_tables, read_documents, read_table, write_tables
from dclm.curate.own.blame import blamed
from dclm.curate.step import Context


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reduction:
    """One partition of a Global step's keys."""

    fingerprint: str
    directory: str
    partition: int
    num_partitions: int
    keys: tuple[str, ...]
    """The key files of all shards, or of several shards each, in order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Merging:
    """The key files of some shards, which are merged so that no reducer reads too many files."""

    fingerprint: str
    directory: str
    num_partitions: int
    keys: tuple[str, ...]


def run_merging(unit: Merging) -> Outcome:
    """Merge several key files."""
    with unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = [map_tables(address, slice(None), near) for address in unit.keys]
        merged = (
            pa.concat_tables(pieces([part.of(slice(p, None, unit.num_partitions)) for part in parts]))
            for p in range(unit.num_partitions)
        )
        write_tables(directory / "keys.arrow", merged)
    return consumed(outcome)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emission:
    """The keys of one shard's documents in a further round."""

    fingerprint: str
    directory: str
    shard: int
    documents: str
    num_partitions: int
    rows: str
    """File of row tables, one per shard of a block."""
    place: int
    """Number of this shard's table in it."""


def run_reduction(step: Global, unit: Reduction) -> Outcome:
    """Reduce one partition."""
    with blamed(), unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = map_partition(unit.keys, unit.partition, unit.num_partitions, near)
        rows = sum(table.num_rows for part in parts for table in part.tables)
        write_tables(directory / "reduced.arrow", map(step.reduce, pieces(parts)))
        outcome["keys"] = rows
    return consumed(outcome)


def run_emission(job: tuple[Global, Context], unit: Emission) -> Outcome:
    """Emit the keys of the documents that a round requested."""
    step, context = job
    with blamed(), unit_files(unit.directory) as (directory, outcome):
        wanted = read_table(unit.rows, unit.place).combine_chunks()
        rows, extra = wanted.column("row").combine_chunks(), wanted.drop_columns(["shard", "row"])
        with KeyWriter(directory / "keys.arrow", unit.shard, step.open(context), unit.num_partitions) as keys:
            for batch in read_documents(unit.documents):
                index = pc.index_in(batch.column("_row"), rows)
                batch = batch.filter(pc.is_valid(index))
                index = index.drop_null()
                for name in extra.column_names:
                    batch = batch.append_column(name, extra.column(name).combine_chunks().take(index))
                keys.write(batch)
    return consumed(outcome)
