"""The last units of curation: a shard's parts from all segments become its files in the artifact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.journal import Outcome
from dclm.core.record import FileEntry
from dclm.core.stage import FILES, unit_files
from dclm.core.store import copy, local_file
from dclm.documents.ledger import merge


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Where one shard's parts are: an address without suffix for each segment."""

    index: int
    fingerprint: str = ""
    directory: str = ""
    """Of the artifact."""
    stems: tuple[str, ...] = ()
    documents: tuple[int, str] = (0, "")
    """Bytes and sha256 of the last segment's documents."""

    def plus(self, stem: str) -> Parts:
        """With one more segment's part."""
        return dataclasses.replace(self, stems=(*self.stems, stem))

    @property
    def name(self) -> str:
        """Of its files, each in a folder of its own."""
        return f"{self.index:05d}.parquet"


def gather_shard(parts: Parts) -> Outcome:
    """Put the last segment's documents in place, merge the ledgers and samples; says the rows of each file."""
    source = f"{parts.stems[-1]}.documents.parquet"
    copy(source, f"{parts.directory}/documents/{parts.name}")
    with unit_files(parts.directory) as (folder, outcome):
        for name in ("ledger", "samples"):
            (folder / name).mkdir()
        ledger, samples = folder / "ledger" / parts.name, folder / "samples" / parts.name
        merge([local_file(f"{stem}.ledger.parquet") for stem in parts.stems], ledger)
        tables = [pq.read_table(local_file(f"{stem}.samples.parquet")) for stem in parts.stems]
        pq.write_table(pa.concat_tables(tables), samples, compression="zstd")
        rows = {f"documents/{parts.name}": _rows(local_file(source))}
        rows |= {f"ledger/{parts.name}": _rows(ledger), f"samples/{parts.name}": _rows(samples)}
        outcome["rows"] = rows
    outcome[FILES] = {f"documents/{parts.name}": list(parts.documents), **outcome[FILES]}
    return outcome


def entries(outcome: Outcome) -> list[FileEntry]:
    """The artifact's files that a unit made."""
    files, rows = outcome[FILES], outcome["rows"]
    assert isinstance(files, dict)
    assert isinstance(rows, dict)
    return [FileEntry(path=n, sha256=digest, bytes=size, rows=rows[n]) for n, (size, digest) in files.items()]


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)
