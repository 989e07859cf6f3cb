"""The texts to tokenize: documents artifacts or any files of texts, as shards in a fixed order.

Files that are not an artifact are read like those of a pool (`dclm.pool`), but must be intact: a reject or damage is an
error here, because no ledger would record it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.record import RECORD, fingerprint, require_complete
from dclm.core.storage import is_local
from dclm.core.store import exists, join, verified_file
from dclm.pool.files import InputFile, file_identity, list_files
from dclm.pool.read import Tally, read_file

_BATCH_ROWS = 1024
_BATCH_BYTES = 16 << 20
_HINT = "pass a documents artifact, or JSON lines, CSV or Parquet files with a text"


class InputText(NamedTuple):
    """A file of texts."""

    address: str
    sha256: str | None = None
    """sha256 of its content, which is compared when it is read; None: not checked."""
    file: InputFile | None = None
    """How to read it; None: it is a documents file of an artifact."""


@dataclass(frozen=True, kw_only=True)
class DocumentSource:
    """One input: its identity, and its files in order."""

    name: str
    fingerprint: str
    """Fingerprint of the artifact, or a hash over the identities of the files."""
    files: tuple[InputText, ...]
    digest: str | None = None
    """Of the artifact's record; None for plain files, which the fingerprint describes in full."""


def find_documents(address: str | Path, allow_missing: bool = False) -> DocumentSource:
    """A documents artifact, or the files of texts that `list_files` finds at a path or URL.

    Raises: DataError if there is nothing of this kind; IncompleteError if the artifact lacks parts.
    """
    name = str(address).rstrip("/").rpartition("/")[2]
    if exists(join(address, RECORD)):
        record = require_complete(address, "documents", allow_missing)
        files = tuple(
            InputText(join(address, f.path), f.sha256) for f in record.files if f.path.startswith("documents/")
        )
        return DocumentSource(name=name, fingerprint=record.fingerprint, files=files, digest=record.digest or None)
    try:
        found = list_files([str(address)])
    except DataError as error:
        raise DataError(error.problems[0].where, error.problems[0].what, _HINT) from None
    pages = next((file.path for file in found if file.kind == "warc"), None)
    if pages is not None:
        raise DataError(pages, "contains pages, not texts", "make documents from them first, with `dclm curate`")
    texts = tuple(InputText(f.path, file_identity(f), f) for f in found)
    return DocumentSource(name=name, fingerprint=fingerprint([text.sha256 for text in texts]), files=texts)


def read_texts(text: InputText) -> Iterator[list[str]]:
    """The texts of one file in batches of at most 1,024 documents and about 16 MB (or one document).

    Raises: DataError naming file and row if a text is missing, the file is corrupt, or its content has changed.
    """
    if text.file is None:
        yield from _artifact_texts(text.address, verified_file(text.address, text.sha256))
        return
    file = text.file
    if is_local(file.path):
        file = replace(file, path=str(verified_file(file.path, text.sha256)))
    tally = Tally()
    for batch in read_file(file, tally, batch_rows=_BATCH_ROWS, batch_bytes=_BATCH_BYTES):
        reject = batch.column("_reject")
        if reject.null_count < len(reject):
            row = int(pc.index(pc.is_valid(reject), pa.scalar(True)).as_py())
            raise DataError(text.address, f"{batch.column('source')[row]}: {reject[row]}", "fix the file")
        yield batch.column("text").to_pylist()
    if tally.damage:
        raise DataError(text.address, tally.damage[0], "fix the file, or copy it again if it was truncated")


def _artifact_texts(address: str, path: Path) -> Iterator[list[str]]:
    try:
        with pq.ParquetFile(path) as parquet:
            first = 0
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=["text"]):
                texts = batch.column(0)
                if texts.null_count:
                    row = first + int(pc.index(pc.is_null(texts), pa.scalar(True)).as_py())
                    raise DataError(f"{address}#{row}", "found no text", "curate it again")
                first += len(texts)
                yield texts.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(address, f"not a complete Parquet file: {error}", "make it again") from error
