"""The clusters of near-duplicates in a documents artifact, and their members."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import to_list
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import read_record
from dclm.curate.step import Context
from dclm.extract.step import Extract
from dclm.pool.files import InputFile
from dclm.pool.read import Tally, read_file

_ORIGINAL = ("source", "id", "text")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster in numbers."""

    number: int
    documents: int
    kept: int
    """Number of members that the step kept: one, or possibly more with verification."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A document in a cluster."""

    shard: int
    row: int
    id: str
    url: str | None
    source: str
    kept: bool
    """Whether it was kept as its cluster's document."""
    jaccard: float | None
    """Similarity to the document that was kept; None: it is that document, or they were not compared."""
    left_at: str | None
    """Name of the step at which it left the pipeline; None: it is in the artifact."""
    text: str | None = None
    """None if it is not in the artifact and no pool was given."""
    text_from: str | None = None


def tables_of(artifact: Path, step: int | None) -> str:
    """The path stem of the tables that the step at index `step` left; None: the only one that left clusters.

    Raises: ConfigError if none exists, or there are several to choose from.
    """
    record = read_record(artifact)
    suffix = ".clusters.parquet"
    found = [f.path.removesuffix(suffix) for f in record.files if f.path.endswith(suffix)]
    if not found:
        raise ConfigError(str(artifact), "has no tables of clusters", "the step `minhash` writes them")
    mine = [stem for stem in found if step is None or int(Path(stem).name.split("-")[0]) == step]
    if len(mine) != 1:
        names = ", ".join(Path(stem).name for stem in found)
        raise ConfigError(str(artifact), f"clusters of {names}", "choose one by its index with --step")
    return str(artifact / mine[0])


def largest_clusters(stem: str, limit: int) -> list[Cluster]:
    """The `limit` clusters with the most documents, ties by number. Memory: 9 bytes per member of any cluster."""
    table = pq.read_table(f"{stem}.clusters.parquet", columns=["cluster", "kept"])
    number = table.column("cluster").to_numpy()
    documents = np.bincount(number)
    kept = np.bincount(number[table.column("kept").to_numpy()], minlength=len(documents))
    order = np.lexsort((np.arange(len(documents)), -documents))[:limit]
    return [Cluster(number=int(n), documents=int(documents[n]), kept=int(kept[n])) for n in order]


def members(artifact: Path, stem: str, cluster: int, limit: int, pool: Sequence[InputFile] = ()) -> list[Member]:
    """The first `limit` members of a cluster in document order, with their texts if available.

    The text of a document in the artifact is read there; that of any other is read from `pool`, whose files must be
    those the artifact was made from, and is its text before the first step (pages: extracted by resiliparse). Raises:
    DataError if there is no such cluster, or the pool is a different one.
    """
    mine = pc.field("cluster") == cluster
    table = pq.read_table(f"{stem}.clusters.parquet", filters=mine).slice(0, limit)
    if not table.num_rows:
        raise DataError(stem, f"has no cluster {cluster}")
    edges = pq.read_table(f"{stem}.edges.parquet", filters=mine)
    jaccard = {(e["shard"], e["row"]): e.get("jaccard", e.get("containment")) for e in edges.to_pylist()}
    found: list[Member] = []
    for shard in to_list(pc.unique(table.column("shard"))):
        rows = table.filter(pc.equal(table.column("shard"), pa.scalar(shard)))
        kept = dict(zip(to_list(rows.column("row")), to_list(rows.column("kept")), strict=True))
        found += _of_shard(artifact, shard, kept, jaccard, pool)
    return found


def _of_shard(
    artifact: Path,
    shard: int,
    kept: Mapping[int, bool],
    jaccard: Mapping[tuple[int, int], float | None],
    pool: Sequence[InputFile],
) -> list[Member]:
    ledger = pq.read_table(artifact / "ledger" / f"{shard:05d}.parquet", columns=["id", "url", "source", "step"])
    rows = sorted(kept)
    stays = pc.is_null(ledger.column("step")).to_numpy()
    final = _documents(artifact, shard, {row: int(stays[:row].sum()) for row in rows if stays[row]})
    chosen = ledger.take(rows).to_pylist()
    original: dict[int, str] = {}
    if pool and len(final) < len(rows):
        gone = {e["source"]: (row, e["id"]) for row, e in zip(rows, chosen, strict=True) if row not in final}
        original = _originals(artifact, pool, gone)
    members = []
    for row, entry in zip(rows, chosen, strict=True):
        text, where = (final[row], "the artifact") if row in final else (original.get(row), "the pool")
        members.append(
            Member(
                shard=shard,
                row=row,
                id=entry["id"],
                url=entry["url"],
                source=entry["source"],
                kept=kept[row],
                jaccard=jaccard.get((shard, row)),
                left_at=entry["step"],
                text=text,
                text_from=None if text is None else where,
            )
        )
    return members


def _documents(artifact: Path, shard: int, places: Mapping[int, int]) -> dict[int, str]:
    """Ledger row → text, from its position in the documents file."""
    if not places:
        return {}
    texts = pq.read_table(artifact / "documents" / f"{shard:05d}.parquet", columns=["text"]).column("text")
    return {row: texts[place].as_py() or "" for row, place in places.items()}


def _originals(artifact: Path, pool: Sequence[InputFile], wanted: Mapping[str, tuple[int, str]]) -> dict[int, str]:
    """Row → text of records of the pool. wanted: `source` of each record → its row and id.

    Raises: DataError if the pool lacks one of them, or has another record in its place.
    """
    extract = Extract().open(Context())
    hint = "pass the pool that the artifact was made from"
    names = {source.rpartition("#")[0] for source in wanted}
    found: dict[int, str] = {}
    for file in (file for file in pool if file.name in names):
        for batch in read_file(file, Tally()):
            batch = extract(batch.filter(pc.is_in(batch.column("source"), pa.array(list(wanted), pa.string()))))
            for source, name, text in zip(*(batch.column(c).to_pylist() for c in _ORIGINAL), strict=True):
                row, identifier = wanted[source]
                if name != identifier:
                    raise DataError(file.path, f"record {source} is {name}, not {identifier}", hint)
                found[row] = text or ""
    missing = [source for source, (row, _) in wanted.items() if row not in found]
    if missing:
        raise DataError(str(artifact), f"the given pool has no record {missing[0]}", hint)
    return found
