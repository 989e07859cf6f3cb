"""The results of a deduplication step, from the ledger and tables of a documents artifact; nothing is run again."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import Chunks, filled, joined, strings, to_list
from dclm.core.errors import ConfigError
from dclm.core.record import Record, read_record
from dclm.dedup.columns import documents_of, row_of, shard_of
from dclm.dedup.index.indexed import IN_INDEX
from dclm.dedup.keep import place_in
from dclm.dedup.minhash.pairs import dropped_at
from dclm.documents.duplicates import Cluster, Member, largest_clusters, members
from dclm.documents.overlaps import read_overlaps
from dclm.documents.schema import SOURCE_NAME
from dclm.pool.files import InputFile
from dclm.text.hosts import hosts

BINS = 20
TOP_DOMAINS = 25
MOST_SOURCES = 12
OTHER = "other"
_COLUMNS = ["url", "source", "step_index", "rule", "kept_shard", "kept_row", "similarity"]
_STEP = 0.05  # step between thresholds


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThresholdEffect:
    """The effect of another threshold."""

    threshold: float
    dropped: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicateReport:
    """The report on one step, determined by the artifact's bytes and the arguments."""

    record: Record
    step: str
    index: int
    dropped: int
    in_index: int
    """Number of these that are in an index of other documents."""
    sizes: Mapping[str, tuple[int, int]]
    """Cluster size, or range of sizes → number of clusters and of documents in them, at the input of this step."""
    similarities: Sequence[int]
    """Dropped documents by similarity to the kept one, in `BINS` of even width from 0 to 1."""
    not_computed: int
    cut: float | None
    """The step's threshold, if it has one."""
    largest: Sequence[tuple[Cluster, Sequence[Member]]]
    domains: Sequence[tuple[str, str, int]]
    """Domains of the dropped and the kept document, if different, and number of documents; most frequent first."""
    sources: Sequence[str]
    overlaps: npt.NDArray[np.int64]
    """[source of the dropped document, source of the kept one]: number of documents."""
    thresholds: Sequence[ThresholdEffect]
    """Empty if the step kept no pairs (`pairs_from`)."""

    def to_json(self) -> dict[str, object]:
        """All fields except the texts."""
        return {
            "step": f"{self.index}:{self.step}",
            "dropped": self.dropped,
            "in_index": self.in_index,
            "cluster_sizes": {size: list(counts) for size, counts in self.sizes.items()},
            "similarity": {"bins": list(self.similarities), "not_computed": self.not_computed, "cut": self.cut},
            "largest_clusters": [dataclasses.asdict(cluster) for cluster, _ in self.largest],
            "domains": [list(pair) for pair in self.domains],
            "overlaps": {"sources": list(self.sources), "dropped_by_kept": self.overlaps.tolist()},
            "source_overlaps": None if (found := read_overlaps(self.record)) is None else found.to_json(),
            "thresholds": [dataclasses.asdict(threshold) for threshold in self.thresholds],
        }


def build_duplicate_report(
    artifact: Path,
    step: int | None = None,
    pool: Sequence[InputFile] = (),
    sources: tuple[str, ...] = (),
    clusters: int = 10,
    shown: int = 4,
) -> DuplicateReport:
    """Analyze the duplicates that the step at index `step` dropped; None: the only step that dropped duplicates.

    pool: the pool that the artifact was made from, for the texts of dropped documents. sources: patterns, as in
    `keep: preferred`, that define the rows of the matrix; none: the step's own, else the first parts of the files'
    paths. clusters: number of the largest clusters to show, with `shown` members of each. Memory: 60 bytes per dropped
    document. Raises: ConfigError if no such step dropped duplicates, or several did and none is named.
    """
    record = read_record(artifact)
    gone = _gone(artifact, record, step)
    index = int(gone.column("step_index")[0].as_py())
    config = cast(Mapping[str, Any], cast(Sequence[object], record.config["steps"])[index])
    name = cast(Sequence[str], record.config["names"])[index]
    linked = gone.filter(pc.is_valid(gone.column("kept_row")))
    kept = documents_of(linked, "kept_")
    stay = _of_documents(artifact, kept)
    similarity = gone.column("similarity").to_numpy()
    known = ~np.isnan(similarity)
    patterns = sources or tuple(config.get("prefer") or ())
    names, overlaps = _overlaps(linked.column("source"), stay.column("source"), patterns)
    stem = artifact / "tables" / f"{index:02d}-{name}"
    largest: list[tuple[Cluster, Sequence[Member]]] = []
    if Path(f"{stem}.edges.parquet").exists():
        for cluster in largest_clusters(str(stem), clusters):
            largest.append((cluster, members(artifact, str(stem), cluster.number, shown, pool)))
    threshold = cast(float | None, config.get("verify"))
    return DuplicateReport(
        record=record,
        step=name,
        index=index,
        dropped=gone.num_rows,
        in_index=gone.num_rows - linked.num_rows,
        sizes=_sizes(kept),
        similarities=np.histogram(similarity[known], BINS, (0.0, 1.0))[0].tolist(),
        not_computed=int((~known).sum()),
        cut=threshold,
        largest=largest,
        domains=_domains(_hosts(linked), _hosts(stay)),
        sources=names,
        overlaps=overlaps,
        thresholds=_thresholds(Path(f"{stem}.pairs.parquet"), config, linked.num_rows),
    )


def _gone(artifact: Path, record: Record, step: int | None) -> pa.Table:
    """The ledger's rows of documents dropped as duplicates by one step; at least one."""
    found = []
    for path in _ledgers(artifact, record):
        table = _ledger(path, _COLUMNS)
        table = table.append_column("shard", pa.array(np.full(table.num_rows, int(path.stem), np.int32)))
        mine = pc.or_kleene(pc.is_valid(table.column("kept_row")), pc.equal(table.column("rule"), pa.scalar(IN_INDEX)))
        found.append(table.filter(filled(mine, False)))
    rows = pa.concat_tables(found)
    names = cast(Sequence[str], record.config["names"])
    steps = sorted(to_list(pc.unique(rows.column("step_index"))))
    if step is not None:
        rows, steps = rows.filter(pc.equal(rows.column("step_index"), pa.scalar(step))), [s for s in steps if s == step]
    if not steps:
        where = "any step" if step is None else f"step {step}"
        what = f"found no document that {where} dropped as a duplicate"
        raise ConfigError(str(artifact), what, "`exact` and `minhash` drop duplicates")
    if len(steps) > 1:
        told = ", ".join(f"{s} ({names[s]})" for s in steps)
        raise ConfigError(str(artifact), f"steps that dropped duplicates: {told}", "choose one with --step")
    return rows


def _ledgers(artifact: Path, record: Record) -> list[Path]:
    return [artifact / f.path for f in record.files if f.path.startswith("ledger/")]


def _ledger(path: Path, columns: list[str]) -> pa.Table:
    """Columns of a ledger; the names of a recipe's sources, where there are several, become folders of `source`."""
    with pq.ParquetFile(path) as file:
        named = SOURCE_NAME in file.schema_arrow.names
        table = file.read([*columns, SOURCE_NAME] if named else columns)
    if not named:
        return table
    source = joined([table.column(SOURCE_NAME), table.column("source")], "/")
    return table.set_column(table.column_names.index("source"), "source", source).select(columns)


def _of_documents(artifact: Path, documents: npt.NDArray[np.int64]) -> pa.Table:
    """URL and source of documents (packed), from the ledgers."""
    shard, row = shard_of(documents), row_of(documents)
    found = [pa.table({"url": pa.array([], pa.string()), "source": pa.array([], pa.string())})]
    places = [np.zeros(0, np.int64)]
    for number in np.unique(shard).tolist():
        mine = np.flatnonzero(shard == number)
        ledger = _ledger(artifact / "ledger" / f"{number:05d}.parquet", ["url", "source"])
        found.append(ledger.take(row[mine]).cast(found[0].schema))
        places.append(mine)
    order = np.argsort(np.concatenate(places))
    return pa.concat_tables(found).take(order)


def _sizes(kept: npt.NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """Clusters by the number of their documents: 2, 3, then powers of two."""
    sizes = np.unique(kept, return_counts=True)[1] + 1
    edges = [2, 3, 4]
    while len(sizes) and edges[-1] <= int(sizes.max()):
        edges.append(2 * edges[-1])
    found = {}
    for low, high in itertools.pairwise(edges):
        mine = sizes[(sizes >= low) & (sizes < high)]
        if len(mine):
            found[str(low) if high == low + 1 else f"{low}–{high - 1}"] = (len(mine), int(mine.sum()))
    return found


def _hosts(table: pa.Table) -> pa.StringArray:
    return hosts(strings(table.column("url").combine_chunks()))


def _domains(gone: pa.StringArray, stay: pa.StringArray) -> list[tuple[str, str, int]]:
    table = pa.table({"gone": gone, "stay": stay})
    table = table.filter(filled(pc.not_equal(table.column("gone"), table.column("stay")), False))
    counts = table.group_by(["gone", "stay"]).aggregate([([], "count_all")])
    rows = zip(*(counts.column(name).to_pylist() for name in ("gone", "stay", "count_all")), strict=True)
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:TOP_DOMAINS]


def _overlaps(gone: Chunks, stay: Chunks, patterns: tuple[str, ...]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The names of the sources, and how many documents of each were dropped in favor of each other one."""
    columns = [column.combine_chunks() for column in (gone, stay)]
    if patterns:
        names = [*patterns, OTHER]
        places = [place_in(column, patterns) for column in columns]
    else:
        labels = [np.array([_first_part(s) for s in to_list(column)], object) for column in columns]
        values, counts = np.unique(np.concatenate(labels).astype(str), return_counts=True)
        most = sorted(values[np.argsort(-counts, kind="stable")[:MOST_SOURCES]].tolist())
        names = [*most, OTHER]
        at = {name: place for place, name in enumerate(most)}
        places = [np.array([at.get(str(label), len(most)) for label in column], np.int64) for column in labels]
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (places[0], places[1]), 1)
    if not matrix[-1].any() and not matrix[:, -1].any():
        return names[:-1], matrix[:-1, :-1]
    return names, matrix


def _first_part(source: str) -> str:
    """The first folder of a source's file, or the file without its endings."""
    file = source.rpartition("#")[0]
    folder, slash, _ = re.sub(r"^\w+://", "", file).strip("/").partition("/")
    return folder if slash else folder.partition(".")[0]


def _thresholds(path: Path, config: Mapping[str, Any], dropped: int) -> list[ThresholdEffect]:
    """Documents dropped by thresholds from that of the kept pairs upward; exact copies are always dropped."""
    if not path.exists():
        return []
    least, now = float(config["pairs_from"]), float(config["verify"])
    grid = {round(least + i * _STEP, 4) for i in range(int((1 - least) / _STEP + 1e-9) + 1)}
    levels = sorted({least, now, 1.0, *grid})
    with pq.ParquetFile(path) as file:
        tables = [pa.Table.from_batches([batch]) for batch in file.iter_batches()]
    counts = dropped_at(tables, levels)
    copies = dropped - counts[levels.index(now)]
    return [ThresholdEffect(threshold=t, dropped=c + copies) for t, c in zip(levels, counts, strict=True)]
