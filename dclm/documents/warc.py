"""Exports the documents of an artifact as WARC, for tools that read web archives.

    OUT/warc/part-00000.warc.wet.gz …   one file per shard: a warcinfo record, then a conversion record per document
    OUT/record.json                     a pool, so that the directory can be curated again

A conversion record contains the document's text; its WARC-Refers-To names the record of the page. The artifact
determines every byte: ids are derived from the documents' ids, and dates are those of the pages.
"""

from __future__ import annotations

import datetime
import re
import time
import uuid
from pathlib import Path
from typing import ClassVar, NamedTuple

import pyarrow.parquet as pq

from dclm.core.counts import PoolCounts, counts_of
from dclm.core.record import (
    Record,
    describe_files,
    find_record,
    fingerprint,
    provenance,
    require_complete,
    write_record,
)
from dclm.core.stages.ownership import claim_directory
from dclm.core.storage import atomic_directory
from dclm.documents.artifact import Artifact
from dclm.pool.archives.archive import record_bytes

_NAMESPACE = uuid.UUID("6f1c1c1e-5a0b-5d0c-9a39-8f6b1d0f4c52")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_UNKNOWN_DATE = "1970-01-01T00:00:00Z"  # WARC-Date is mandatory
_BATCH_ROWS = 256


class Published(NamedTuple):
    """Counts of the export."""

    files: int
    records: int
    """Number of conversion records."""
    without_page: int
    """Number of conversion records without WARC-Refers-To, because the document's id is not a WARC-Record-ID."""


class WarcOptions:
    """Inputs besides the artifact that determine the bytes."""

    version: ClassVar[int] = 1


def publish_warc(artifact_root: Path | str, out: Path, *, allow_missing: bool = False) -> Published:
    """Write the kept documents of an artifact below `out`; reuse an existing export.

    Memory is bounded by a batch of documents. Raises: ConfigError if this is not a documents artifact, IncompleteError
    if it is incomplete and `allow_missing` is not set, DataError if `out` contains something else.
    """
    source = require_complete(artifact_root, "documents", allow_missing)
    identity = fingerprint(["warc of documents", WarcOptions.version, source.fingerprint])
    found = find_record(out, "pool", identity, hint="choose a new folder")
    if found is not None:
        return _published(found)
    claim_directory(out, "pool", [artifact_root], replaced=True)
    artifact = Artifact(artifact_root)
    started, cpu = time.time(), time.process_time()
    with atomic_directory(out) as root:
        (root / "warc").mkdir()
        rows: dict[str, int] = {}
        without = 0
        for number, shard in enumerate(artifact.files("documents")):
            name = f"warc/part-{number:05d}.warc.wet.gz"
            rows[name], alone = _write_shard(shard, root / name, source.fingerprint)
            without += alone
        record = Record(
            kind="pool",
            name=source.name,
            fingerprint=identity,
            config={"version": WarcOptions.version},
            inputs={"documents": source.fingerprint},
            counts=PoolCounts(records=sum(rows.values()), without_page=without).plain(),
            files=describe_files(root, rows),
            missing=source.missing,
            provenance=provenance(started, time.process_time() - cpu),
        )
        write_record(root, record)
    return _published(record)


def _published(record: Record) -> Published:
    counts = counts_of(record, PoolCounts)
    return Published(len(record.files), counts.records, counts.without_page or 0)


def _write_shard(shard: Path, path: Path, artifact: str) -> tuple[int, int]:
    """The number of conversion records, and of those that do not refer to a page."""
    count = alone = 0
    info_id = uuid.uuid5(_NAMESPACE, f"{artifact} {path.name}")
    info = f"software: dclm\r\nformat: WARC File Format 1.1\r\nisPartOf: documents artifact {artifact}\r\n"
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Record-ID": f"<urn:uuid:{info_id}>",
        "WARC-Date": _UNKNOWN_DATE,
        "WARC-Filename": path.name,
        "Content-Type": "application/warc-fields",
    }
    with path.open("wb") as handle, pq.ParquetFile(shard) as file:
        handle.write(record_bytes("1.1", headers, info.encode()))
        columns = ["id", "url", "date", "source", "text"]
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
            for row in batch.to_pylist():
                page = row["id"] if _UUID.match(row["id"]) else None
                alone += page is None
                own = uuid.uuid5(_NAMESPACE, f"{row['id']} {row['source']}")
                headers = {
                    "WARC-Type": "conversion",
                    "WARC-Record-ID": f"<urn:uuid:{own}>",
                    "WARC-Date": _date(row["date"]),
                    "WARC-Warcinfo-ID": f"<urn:uuid:{info_id}>",
                    **({"WARC-Target-URI": row["url"]} if row["url"] else {}),
                    **({"WARC-Refers-To": f"<urn:uuid:{page}>"} if page else {}),
                    "Content-Type": "text/plain",
                }
                handle.write(record_bytes("1.1", headers, row["text"].encode()))
                count += 1
    return count, alone


def _date(value: str | None) -> str:
    """The page's date in WARC's format, in UTC; the beginning of 1970 if it is missing or unreadable."""
    try:
        date = datetime.datetime.fromisoformat(value or "")
    except ValueError:
        return _UNKNOWN_DATE
    date = date.replace(tzinfo=datetime.UTC) if date.tzinfo is None else date.astimezone(datetime.UTC)
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")
