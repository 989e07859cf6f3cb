"""The step that gives each document the rank of its host."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import pyarrow as pa

from dclm.core.arrow import strings
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.hosts.table import open_ranks
from dclm.text.hosts import hosts

Rank = Literal["pagerank", "pagerank_position", "harmonic", "harmonic_position"]
FIELDS: dict[Rank, str] = {
    "pagerank": "pr_val",
    "pagerank_position": "pr_pos",
    "harmonic": "harmonicc_val",
    "harmonic_position": "harmonicc_pos",
}
"""Rank → its field in Common Crawl's files."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostRank(Map):
    """Adds the rank of the host of a document's URL, as a float64 column; null for a host that is not in the file.

    To select a fifth of the pool by rank, as DataComp-LM compares them, use
    `quantile: {column: host_rank, keep_between: [0.8, 1]}` and so on. A file is converted once to a table in the cache
    folder, which the workers of a machine share. Hosts are compared by 64-bit hashes: with 300 million hosts, one
    lookup in 6e10 returns the rank of another host.

    Source: the host-level web graphs of Common Crawl (`cc-main-…-host-ranks.txt.gz`); DataComp-LM, section 4.3.
    """

    name: ClassVar[str] = "host_rank"

    ranks: str
    """Path of a host-ranks file, plain or gzip, or ranks that the recipe computes from links (`models:`)."""
    value: Rank = "pagerank"
    """Which number of the file to use. Positions count from 1 for the most central host."""
    column: str = "host_rank"
    """Column to add."""

    @property
    def assets(self) -> tuple[str, ...]:
        """The file."""
        return (self.ranks,)

    @property
    def memory(self) -> str:
        """See `Step`."""
        return "16 bytes per host of the ranks file, shared by the workers of a machine; 48 while the table is made"

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: AssetError if the file is not one of host ranks."""
        table = open_ranks(context.file(self.ranks), FIELDS[self.value])

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            return with_columns(batch, {self.column: table.values_of(hosts(strings(batch.column("url"))))})

        return annotate
