"""The texts to tokenize: documents artifacts, JSONL and Parquet files, as shards in a fixed order."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.record import RECORD, fingerprint, require_complete
from dclm.core.storage import sha256_file
from dclm.core.store import exists, join, local_file, verified_file

_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst")
_BATCH_ROWS = 1024
_BATCH_CHARACTERS = 16 << 20


class InputText(NamedTuple):
    """A file of texts."""

    address: str
    sha256: str | None = None
    """sha256 of its content, which is compared when it is read; None: not checked."""


@dataclass(frozen=True, kw_only=True)
class DocumentSource:
    """One input: its identity, and its files in order."""

    name: str
    fingerprint: str
    """Fingerprint of the artifact, or a hash over the sha256 of the files."""
    files: tuple[InputText, ...]


def find_documents(address: str | Path, allow_missing: bool = False) -> DocumentSource:
    """A documents artifact (a folder or a URL), a JSONL or Parquet file, or a local folder of such files sorted by
    name.

    Raises: DataError if there is nothing of this kind; IncompleteError if the artifact lacks parts.
    """
    name = str(address).rstrip("/").rpartition("/")[2]
    if exists(join(address, RECORD)):
        record = require_complete(address, "documents", allow_missing)
        files = tuple(
            InputText(join(address, f.path), f.sha256) for f in record.files if f.path.startswith("documents/")
        )
        return DocumentSource(name=name, fingerprint=record.fingerprint, files=files)
    path = local_file(address)
    found = sorted(p for p in path.rglob("*") if p.name.endswith(_SUFFIXES)) if path.is_dir() else [path]
    named = str(address).endswith(_SUFFIXES)
    if not found or not all(p.is_file() and (named or p.name.endswith(_SUFFIXES)) for p in found):
        what = "found no documents" if path.exists() else "no such file"
        raise DataError(str(address), what, f"pass a documents artifact, or a file or folder of {' '.join(_SUFFIXES)}")
    texts = tuple(InputText(str(address) if named else str(p), sha256_file(p)) for p in found)
    return DocumentSource(name=name, fingerprint=fingerprint([text.sha256 for text in texts]), files=texts)


def read_texts(file: InputText) -> Iterator[list[str]]:
    """The texts of one file in batches of at most 1,024 documents and about 16 M characters (or one document).

    Raises: DataError naming file and row if a text is missing, the file is corrupt, or its content has changed.
    """
    path = verified_file(file.address, file.sha256)
    read = _parquet_texts if file.address.endswith(".parquet") else _json_texts
    texts = read(file.address, path)
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _BATCH_ROWS or size + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _parquet_texts(file: str, path: Path) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as parquet:
            if "text" not in parquet.schema_arrow.names:
                found = ", ".join(parquet.schema_arrow.names)
                raise DataError(file, f"found columns {found}, allowed: one named text")
            row = 0
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=["text"]):
                for text in batch.column(0).to_pylist():
                    yield _checked(f"{file}#{row}", text)
                    row += 1
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(file, f"not a complete Parquet file: {error}", "make it again") from error


def _json_texts(file: str, path: Path) -> Iterator[str]:
    number = 0
    try:
        with path.open("rb") as raw, _decompressed(file, raw) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                text = _checked(f"{file}:{number}", row.get("text") if isinstance(row, dict) else None)
                text.encode()  # a lone surrogate, which JSON can express, is not text
                yield text
    except (ValueError, EOFError, OSError) as error:
        what = f"not lines of JSON with a text: {error}"
        raise DataError(f"{file}:{number}", what, "fix the file, or copy it again if it was truncated") from error


def _checked(where: str, text: object) -> str:
    if not isinstance(text, str):
        raise DataError(where, f"found text {text!r:.40}, allowed: a string")
    return text


def _decompressed(file: str, raw: IO[bytes]) -> IO[bytes]:
    if file.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if file.endswith(".zst"):
        return io.BufferedReader(
            pa.CompressedInputStream(pa.PythonFile(raw, "rb"), "zstd")
        )  # detects a truncated frame
    return raw
