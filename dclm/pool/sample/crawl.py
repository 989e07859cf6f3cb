"""The sample pool: a generated crawl in real WARC files, with a table of the true properties of every page in it.

warc/sample-0000N.warc.gz     warcinfo, request, response, metadata and revisit records; WARC 1.0 and 1.1 truth.parquet
one row for every response record, in the order of the crawl validation.jsonl.gz           clean English of the same
kind that is not in the crawl quality_positive.jsonl.gz     texts not in the crawl, from which a quality classifier
learns quality_negative.jsonl.gz
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.arrow import schema_of
from dclm.core.counts import PoolCounts
from dclm.core.errors import ConfigError
from dclm.core.record import Record, describe_files, find_record, fingerprint, provenance, write_record
from dclm.core.stages.ownership import claim_directory
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.storage import atomic_directory
from dclm.pool.sample.pages import Page, make_pages
from dclm.pool.sample.text import TextBlock, article, chatter, plain_text
from dclm.pool.sample.warc import WarcWriter

TRUTH = schema_of(
    pa.field("id", pa.string(), nullable=False),  # the UUID of the response's WARC-Record-ID
    pa.field("url", pa.string(), nullable=False),
    pa.field("main_text", pa.string(), nullable=False),  # output of a perfect extractor
    pa.field("language", pa.string(), nullable=False),  # ISO 639-1
    pa.field("quality", pa.string(), nullable=False),  # high, low, spam, boilerplate, broken
    pa.field("duplicate_cluster", pa.int32()),  # null: resembles no other page
    pa.field("duplicate_kind", pa.string()),  # original, exact, near; null outside clusters
    pa.field("encoding", pa.string(), nullable=False),  # of the page's bytes
    pa.field("fault", pa.string()),  # how the record is broken
    pa.field("file", pa.string(), nullable=False),  # name of the WARC file
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """The parameters that determine the bytes of a sample pool."""

    version: ClassVar[int] = 2
    seed: int = 0
    documents: int = 2000
    """Number of response records in all files."""
    files: int = 4
    """Number of WARC files."""


def make_sample(
    out: Path,
    seed: int = 0,
    documents: int = 2000,
    files: int = 4,
    *,
    progress: Progress | None = None,
    force: bool = False,
) -> Path:
    """Generate the pool at `out` (about 5 s for 2,000 pages), or reuse it if it already exists.

    The same arguments give the same bytes. force: replace a pool that other arguments made. Raises: ConfigError for
    counts below one or fewer documents than files.
    """
    config = SampleConfig(seed=seed, documents=documents, files=files)
    if files < 1 or documents < files:
        what = f"found {documents} documents in {files} files, allowed: at least one document per file"
        raise ConfigError("sample pool", what)
    identity = fingerprint(config)
    if find_record(out, "pool", identity, force=force):
        return out
    claim_directory(out, "pool", replaced=True)
    started, cpu = time.time(), time.process_time()
    with atomic_directory(out) as root:
        rows = _write_crawl(root, config, progress or NullProgress())
        rows |= _write_texts(root, config)
        record = Record(
            kind="pool",
            name="sample",
            fingerprint=identity,
            config=dataclasses.asdict(config),
            counts=PoolCounts(records=documents).plain(),
            files=describe_files(root, rows),
            provenance=provenance(started, time.process_time() - cpu),
        )
        write_record(root, record)
    return out


def _write_crawl(root: Path, config: SampleConfig, progress: Progress) -> dict[str, int]:
    pages = make_pages(random.Random(f"{config.seed} pages"), config.documents)
    (root / "warc").mkdir()
    ends = [len(pages) * (i + 1) // config.files for i in range(config.files)]
    truth: list[dict[str, object]] = []
    rows = {}
    progress.start("sample pool", config.files, "files")
    for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        name = f"sample-{i:05}.warc.gz"
        writer = WarcWriter(root / "warc" / name, random.Random(f"{config.seed} warc {i}"), "1.1" if i % 2 else "1.0")
        truth += [_truth(writer.write_page(page), page, name) for page in pages[start:end]]
        writer.close()
        rows[f"warc/{name}"] = end - start
        progress.advance(1, end - start)
    progress.finish()
    pq.write_table(pa.Table.from_pylist(truth, schema=TRUTH), root / "truth.parquet", compression="zstd")
    return rows | {"truth.parquet": len(truth)}


def _truth(identity: str, page: Page, file: str) -> dict[str, object]:
    return {
        "id": identity,
        "url": page.url,
        "main_text": page.main_text,
        "language": page.language,
        "quality": page.quality,
        "duplicate_cluster": page.cluster,
        "duplicate_kind": page.relation,
        "encoding": page.encoding,
        "fault": page.fault,
        "file": file,
    }


def _write_texts(root: Path, config: SampleConfig) -> dict[str, int]:
    """The data sets next to the crawl, with sizes proportional to it."""
    sets: dict[str, tuple[Callable[[random.Random], list[TextBlock]], int]] = {
        "validation": (article, max(8, config.documents // 20)),
        "quality_positive": (article, max(20, config.documents // 5)),
        "quality_negative": (chatter, max(20, config.documents // 5)),
    }
    rows = {}
    for name, (make, count) in sets.items():
        rng = random.Random(f"{config.seed} {name}")
        lines = []
        for i in range(count):
            identity = uuid.UUID(int=rng.getrandbits(128), version=4)
            url = f"https://{name.replace('_', '-')}.example/{i}"
            metadata = {"WARC-Record-ID": f"<urn:uuid:{identity}>", "WARC-Target-URI": url}
            lines.append(json.dumps({"text": plain_text(make(rng)), "url": url, "metadata": metadata}))
        path = root / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 6, mtime=0))
        rows[path.name] = count
    return rows
