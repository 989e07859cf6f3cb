"""The last units of curation: the parts that all segments left for some shards become one shard of the artifact.

The artifact's shards have even sizes, whatever the pool's files and however many documents were dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.record import FileEntry, fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import FILES, Workspace, unit_files
from dclm.core.stores.store import copy, join, local_file
from dclm.curate.options import VERSION
from dclm.curate.output.files import DocumentWriter, read_documents, read_parquet
from dclm.curate.output.places import Places
from dclm.curate.quantity import sum_quantities
from dclm.documents.ledger import merge

LARGEST_SHARD_BYTES = 256 << 20
SMALLEST_SHARD_BYTES = 1 << 20
_SHARDS = 16
"""If there are too few documents for this many shards of maximum size, they are written to about this many smaller
ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """The output of the segments for one shard of the work."""

    stems: tuple[str, ...] = ()
    """Addresses of each segment's files, without suffix."""
    fingerprint: str = ""
    """Fingerprint of the unit that wrote the documents."""
    documents: tuple[int, str] = (0, "")
    """Bytes and sha256 of the last segment's documents."""
    rows: int = 0
    """Number of documents kept."""
    records: int = 0
    """Number of records read, each of which has a row in the ledger."""
    schema: str = ""
    """Identifies the columns of the documents."""

    def plus(self, stem: str) -> Parts:
        """With the files of one more segment."""
        return dataclasses.replace(self, stems=(*self.stems, stem))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputShard:
    """One shard of the artifact, made from consecutive shards of the work."""

    index: int
    fingerprint: str
    directory: str
    """Index in the artifact."""
    parts: tuple[Parts, ...]
    places: str | None
    """Address of the table that maps the records of the work's shards to the artifact; None: they did not move."""

    @property
    def name(self) -> str:
        """Names of its files, each in a separate folder."""
        return f"{self.index:05d}.parquet"


def plan_shards(parts: Sequence[Parts], shard_bytes: int | None) -> list[range]:
    """Which shards of the work become one shard of the artifact.

    shard_bytes: maximum size of the documents in one. None: depends on their number; 0: shards are not merged.
    """
    if shard_bytes == 0:
        return [range(i, i + 1) for i in range(len(parts))]
    total = sum(part.documents[0] for part in parts)
    size = shard_bytes or min(max(total // _SHARDS, SMALLEST_SHARD_BYTES), LARGEST_SHARD_BYTES)
    found: list[range] = []
    start, held, schema = 0, 0, ""
    for index, part in enumerate(parts):
        other = bool(part.rows and schema and part.schema != schema)
        if index > start and (other or held + part.documents[0] > size):
            found.append(range(start, index))
            start, held, schema = index, 0, ""
        held += part.documents[0]
        schema = part.schema if part.rows else schema
    return [*found, range(start, len(parts))]


def gather_shard(shard: OutputShard) -> Outcome:
    """Make the files of one shard of the artifact; returns the number of rows of each."""
    name, parts = shard.name, shard.parts
    places = Places() if shard.places is None else Places.read(shard.places)
    with unit_files(shard.directory) as (folder, outcome):
        for kind in ("documents", "ledger", "samples", "quantities"):
            (folder / kind).mkdir()
        files = {}
        if len(parts) == 1:
            copy(_documents(parts[0]), f"{shard.directory}/documents/{name}")
            files = {f"documents/{name}": list(parts[0].documents)}
        else:
            _join_documents(parts, folder / "documents" / name)
        ledgers = [[local_file(f"{stem}.ledger.parquet") for stem in part.stems] for part in parts]
        records = merge(ledgers, folder / "ledger" / name, places.of_kept)
        samples = [read_parquet(f"{stem}.samples.parquet") for part in parts for stem in part.stems]
        pq.write_table(pa.concat_tables(samples), folder / "samples" / name, compression="zstd")
        stems = [stem for part in parts for stem in part.stems]
        quantities = sum_quantities([read_parquet(f"{stem}.quantities.parquet") for stem in stems])
        pq.write_table(quantities, folder / "quantities" / name, compression="zstd")
        outcome["rows"] = {
            f"documents/{name}": sum(part.rows for part in parts),
            f"ledger/{name}": records,
            f"samples/{name}": sum(map(len, samples)),
            f"quantities/{name}": len(quantities),
        }
    outcome[FILES] = {**files, **outcome[FILES]}
    return outcome


def _documents(part: Parts) -> str:
    return f"{part.stems[-1]}.documents.parquet"


def _join_documents(parts: Sequence[Parts], target: Path) -> None:
    with DocumentWriter(target, keep_row=False) as writer:
        for batch in _batches([part for part in parts if part.rows] or parts[:1]):
            writer.write(batch)
        assert writer.rows == sum(part.rows for part in parts)


def _batches(parts: Sequence[Parts]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from read_documents(_documents(part))


def assemble(
    space: Workspace, parts: Sequence[Parts], tables: Mapping[str, str], shard_bytes: int | None
) -> list[FileEntry]:
    """Make the artifact from the segments' output for each shard of the work; returns its files, sorted by path.

    tables: name → address of the tables that decisions left.
    """
    planned = plan_shards(parts, shard_bytes)
    places = Places.of(planned, [part.records for part in parts])
    address = None
    if len(planned) < len(parts):
        with unit_files(join(space.work, "places")) as (folder, _):
            places.write(folder / "places.parquet")
        address = join(space.work, "places", "places.parquet")
    whole = fingerprint([VERSION, shard_bytes, [part.fingerprint for part in parts]])
    shards = [
        OutputShard(
            index=index,
            fingerprint=fingerprint(["gather", whole, index]),
            directory=space.out,
            parts=tuple(parts[members.start : members.stop]),
            places=address,
        )
        for index, members in enumerate(planned)
    ]
    found: list[FileEntry] = []
    for done in space.run_units(gather_shard, shards, "gather", total=len(shards)):
        found.extend(_entries(done.outcome))
    found += [_table(space.out, name, table, places) for name, table in tables.items()]
    space.sweep(("documents", "ledger", "samples", "quantities", "tables"), {entry.path for entry in found})
    return sorted(found, key=lambda e: e.path)


def _entries(outcome: Outcome) -> list[FileEntry]:
    files, rows = outcome[FILES], outcome["rows"]
    assert isinstance(files, dict)
    assert isinstance(rows, dict)
    return [FileEntry(path=n, sha256=digest, bytes=size, rows=rows[n]) for n, (size, digest) in files.items()]


def _table(out: str, name: str, address: str, places: Places) -> FileEntry:
    """Put a decision's table in place, and refer to documents by their positions in the artifact."""
    with unit_files(join(out, "tables")) as (folder, outcome):
        _rewrite(local_file(address), folder / name, places)
    ((size, digest),) = outcome[FILES].values()
    return FileEntry(path=f"tables/{name}", sha256=digest, bytes=size)


def _rewrite(source: Path, target: Path, places: Places) -> None:
    with pq.ParquetFile(source) as file, pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            writer.write_table(places.of_tables(file.read_row_group(group, use_threads=False)))
