"""Documents as a data set of the Hub: Parquet that `load_dataset` opens directly, a data card, Croissant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.record import Record, require_complete
from dclm.core.storage import sha256_file
from dclm.documents.artifact import Artifact
from dclm.publish.card import provenance, size_category, table, write_card
from dclm.publish.croissant import PublishedFile, describe_dataset
from dclm.publish.target import published

SPLIT = "train"
_BATCH_ROWS = 8192


def publish_documents(
    root: str, to: str, *, license_: str = "other", url: str | None = None, allow_missing: bool = False
) -> int:
    """Publish the kept documents of the artifact `root` at `to` (a folder or hf://ORG/NAME); returns their number.

        data/train-00000-of-00002.parquet …   all with the same columns
        README.md · croissant.json · provenance.json

    license_: license of the data set, by the Hub's name for it. The texts remain under the rights of their authors, as
    the card states.
    url: the data set's page; by default its page on the Hub, or the fingerprint.
    Raises: ConfigError; DataError if no document was kept; IncompleteError if parts are missing, unless
    `allow_missing`.
    """
    record = require_complete(root, "documents", allow_missing)
    artifact = Artifact(root)
    paths = artifact.files("documents")
    rows = [int(pq.read_metadata(path).num_rows) for path in paths]
    paths = [path for path, count in zip(paths, rows, strict=True) if count]
    if not paths:
        raise DataError(root, "no document was kept", "there is nothing to publish")
    schema = pa.unify_schemas([pq.read_schema(path) for path in paths], promote_options="permissive")
    schema = schema.remove_metadata()
    with published(to, "dataset", root) as folder:
        (folder / "data").mkdir()
        files = [_write(path, folder, number, len(paths), schema) for number, path in enumerate(paths)]
        where = url or (f"https://huggingface.co/datasets/{to[5:]}" if to.startswith("hf://") else _urn(record))
        made = record.provenance.get("finished")
        croissant = describe_dataset(
            name=record.name,
            description=f"{sum(rows):,} of {artifact.count('read'):,} documents, kept by the pipeline {record.name}.",
            license_=license_,
            url=where,
            date=str(made) if made else None,
            fingerprint=record.fingerprint,
            inputs=record.inputs,
            files=files,
            schema=schema,
        )
        _write_text(folder / "croissant.json", json.dumps(croissant, indent=1, ensure_ascii=False) + "\n")
        chain = {"fingerprint": record.fingerprint, "inputs": dict(record.inputs), "config": record.config}
        _write_text(folder / "provenance.json", json.dumps(chain, indent=1, ensure_ascii=False, default=str) + "\n")
        _write_text(folder / "README.md", _card(artifact, record, license_, sum(rows), schema))
    return sum(rows)


def _urn(record: Record) -> str:
    return f"urn:sha256:{record.fingerprint}"


def _write(path: Path, folder: Path, number: int, total: int, schema: pa.Schema) -> PublishedFile:
    """One file with all of the data set's columns, in batches."""
    name = f"data/{SPLIT}-{number:05d}-of-{total:05d}.parquet"
    with pq.ParquetFile(path) as file, pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
        for batch in file.iter_batches(_BATCH_ROWS):
            writer.write_table(_with_columns(pa.Table.from_batches([batch]), schema))
    return PublishedFile(name, sha256_file(folder / name), (folder / name).stat().st_size)


def _with_columns(part: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        part.column(field.name).cast(field.type) if field.name in part.column_names else pa.nulls(len(part), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _card(artifact: Artifact, record: Record, license_: str, rows: int, schema: pa.Schema) -> str:
    front = {
        "license": license_,
        "pretty_name": record.name,
        "size_categories": [size_category(rows)],
        "task_categories": ["text-generation"],
        "configs": [{"config_name": "default", "data_files": [{"split": SPLIT, "path": f"data/{SPLIT}-*.parquet"}]}],
    }
    return write_card(front, record.name, _sections(artifact, record, rows, schema))


def _sections(artifact: Artifact, record: Record, rows: int, schema: pa.Schema) -> Iterator[str]:
    count = artifact.count
    yield (
        f"{rows:,} documents that the pipeline `{record.name}` kept of {count('read'):,} records read"
        f" ({count('dropped'):,} dropped by a step, {count('rejected'):,} unusable)."
    )
    yield '```python\nfrom datasets import load_dataset\n\nload_dataset(PATH_OR_NAME, split="train")\n```'
    yield (
        "## Rights\n\nThe license above covers the selection. The texts come from web pages and remain under the "
        "rights of their authors; the column `url` names the page of each."
    )
    steps = [
        ("" if s.index < 0 else s.index, s.name, s.settings, s.documents_in, s.dropped, s.rejected, s.documents_out)
        for s in artifact.steps
    ]
    columns = ("", "step", "settings", "in", "dropped", "rejected", "out")
    yield "## How it was made\n\n" + table(columns, steps)
    yield "## Columns\n\n" + table(("column", "type"), [(f"`{f.name}`", f.type) for f in schema])
    if record.missing:
        yield f"## Missing parts\n\n{len(record.missing)} files of the pool were damaged; what could be read is here."
    yield provenance(record.fingerprint, record.inputs, record.provenance)


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "replace"))
