"""The last unit of curation: one shard's parts from all segments become its files in the artifact."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.record import FileEntry
from dclm.core.storage import atomic_file, sha256_file
from dclm.documents.ledger import merge


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Where one shard's parts lie: a path stem for each segment."""

    index: int
    stems: tuple[str, ...] = ()

    def plus(self, stem: str) -> Parts:
        """With one more segment's part."""
        return dataclasses.replace(self, stems=(*self.stems, stem))


def gather_shard(out: str, parts: Parts) -> list[FileEntry]:
    """Link the last segment's documents into place and merge the ledgers and samples; gives the files' entries."""
    root, name = Path(out), f"{parts.index:05d}.parquet"
    documents = root / "documents" / name
    documents.unlink(missing_ok=True)
    _link(Path(f"{parts.stems[-1]}.documents.parquet"), documents)
    with atomic_file(root / "ledger" / name) as temporary:
        merge([Path(f"{stem}.ledger.parquet") for stem in parts.stems], temporary)
    samples = pa.concat_tables([pq.read_table(f"{stem}.samples.parquet") for stem in parts.stems])
    with atomic_file(root / "samples" / name) as temporary:
        pq.write_table(samples, temporary, compression="zstd")
    paths = [documents, root / "ledger" / name, root / "samples" / name]
    return [
        FileEntry(
            path=p.relative_to(root).as_posix(),
            sha256=sha256_file(p),
            bytes=p.stat().st_size,
            rows=pq.read_metadata(p).num_rows,
        )
        for p in paths
    ]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a filesystem without hard links
        shutil.copyfile(source, target)
