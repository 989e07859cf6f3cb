"""The texts to tokenize: documents artifacts or any files of texts, as shards in a fixed order.

Files that are not an artifact are read like those of a pool (`dclm.pool`), but must be intact: a reject or damage is an
error here, because no ledger would record it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import lengths, to_list
from dclm.core.config import suggest
from dclm.core.errors import DataError
from dclm.core.record import RECORD, fingerprint, require_complete
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import is_local
from dclm.core.stores.store import exists, join, verified_file
from dclm.pool.files import InputFile, file_identity, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.survey import survey_all
from dclm.pool.texts.layout import Fields, KeptType

_ARTIFACT_ROWS = 1024
_BATCH_ROWS = 4096  # larger than a portion: each batch of text costs as much as 20 to 30 kB of it
_BATCH_BYTES = 16 << 20
_PORTION_BYTES = 1 << 20
_OBJECT_BYTES = 64  # of a short `str`
_HINT = "pass a documents artifact, or JSON lines, CSV or Parquet files with a text"


class InputText(NamedTuple):
    """A file of texts."""

    address: str
    sha256: str | None = None
    """sha256 of its content, which is compared when it is read; None: not checked."""
    file: InputFile | None = None
    """How to read it; None: it is a documents file of an artifact."""


class Portion(NamedTuple):
    """Consecutive documents of a file."""

    texts: list[str]
    sizes: npt.NDArray[np.int64]
    """Bytes of each text in UTF-8."""
    values: list[object]
    """Of each document, in the other column that was asked for; empty if none was."""


class Column(NamedTuple):
    """A column of the documents in addition to their text."""

    name: str
    kind: KeptType


@dataclass(frozen=True, kw_only=True)
class DocumentSource:
    """One input: its identity, and its files in order."""

    name: str
    fingerprint: str
    """Fingerprint of the artifact, or a hash over the identities of the files."""
    files: tuple[InputText, ...]
    digest: str | None = None
    """Digest of the artifact's record; None for plain files, which the fingerprint describes in full."""


class SourcePart(NamedTuple):
    """Some of the files of a documents artifact, as an input of its own: one of several sources in the artifact."""

    address: str
    """The address of the artifact."""
    name: str
    files: tuple[str, ...]
    """Their paths in the artifact's record."""


def find_documents(place: str | Path | SourcePart, allow_missing: bool = False) -> DocumentSource:
    """A documents artifact, a part of one, or the files of texts that `list_files` finds at a path or URL.

    Raises: DataError if there is nothing of this kind; IncompleteError if the artifact lacks parts.
    """
    if isinstance(place, SourcePart):
        whole = find_documents(place.address, allow_missing)
        wanted = {join(place.address, path) for path in place.files}
        files = tuple(file for file in whole.files if file.address in wanted)
        return replace(whole, name=place.name, files=files)
    address = place
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
    return files_of_texts(found, name)


def files_of_texts(files: Sequence[InputFile], name: str) -> DocumentSource:
    """Files of a pool as one input. Raises: DataError if one of them is an archive."""
    pages = next((file.path for file in files if file.kind == "warc"), None)
    if pages is not None:
        raise DataError(pages, "contains pages, not texts", "make documents from them first, with `dclm curate`")
    plain = [[replace(file, fields=Fields())] for file in files]
    contents = [known.identity for known in survey_all(plain, SerialEngine(), time.time_ns())]
    identities = [file_identity(f, content) for f, content in zip(files, contents, strict=True)]
    texts = tuple(InputText(f.path, content, f) for f, content in zip(files, contents, strict=True))
    return DocumentSource(name=name, fingerprint=fingerprint(identities), files=texts)


def read_texts(text: InputText) -> Iterator[list[str]]:
    """The texts of one file; see `read_documents`."""
    for portion in read_documents(text, None):
        yield portion.texts


def read_documents(text: InputText, column: Column | None) -> Iterator[Portion]:
    """The documents of one file, with their values in another column, if one is given (null: None).

    A portion ends with the text that fills it to about 1 MB: the encoder works on lists of strings, whose ids fit the
    processor's cache, and takes longer for many short lists. Raises: DataError naming file and row if a text is
    missing, the file is corrupt, an artifact's file has no such column, or the file's content has changed.
    """
    texts: list[str] = []
    values: list[object] = []
    sizes: list[npt.NDArray[np.int64]] = []
    before = 0
    for batch in _batches(text, column):
        found = lengths(batch.column("text")).to_numpy().astype(np.int64)
        ends = before + np.cumsum(found + _OBJECT_BYTES)
        full = set((np.flatnonzero(np.diff(ends // _PORTION_BYTES, prepend=before // _PORTION_BYTES)) + 1).tolist())
        before = int(ends[-1]) if len(ends) else before
        for start, end in itertools.pairwise(sorted({0, *full, len(found)})):
            rows = batch.slice(start, end - start)
            texts += to_list(rows.column("text"))
            values += [] if column is None else to_list(rows.column(column.name))
            sizes.append(found[start:end])
            if end in full:
                yield Portion(texts, np.concatenate(sizes), values)
                texts, values, sizes = [], [], []
    if texts:
        yield Portion(texts, np.concatenate(sizes), values)


def read_values(text: InputText, column: Column) -> Iterator[list[object]]:
    """The values of a column (null: None), in batches. Raises: the errors of `read_documents`."""
    if text.file is None:
        path = verified_file(text.address, text.sha256)
        for batch in _artifact_batches(text.address, path, (column.name,)):
            yield batch.column(0).to_pylist()
        return
    for batch in _batches(text, column):
        yield to_list(batch.column(column.name))


def _batches(text: InputText, column: Column | None) -> Iterator[pa.RecordBatch]:
    """Batches of documents with texts: of an artifact at most 1,024, of other files at most 4,096 and about 16 MB (or
    one document)."""
    if text.file is None:
        path = verified_file(text.address, text.sha256)
        first = 0
        for batch in _artifact_batches(text.address, path, ("text",) if column is None else ("text", column.name)):
            texts = batch.column("text")
            if texts.null_count:
                row = first + int(pc.index(pc.is_null(texts), pa.scalar(True)).as_py())
                raise DataError(f"{text.address}#{row}", "found no text", "curate it again")
            first += len(texts)
            yield batch
        return
    file = text.file
    if column is not None:
        file = replace(file, fields=replace(file.fields, keep=((column.name, column.kind),)))
    if is_local(file.path):
        file = replace(file, path=str(verified_file(file.path, text.sha256)))
    tally = Tally()
    for batch in read_file(file, tally, batch_rows=_BATCH_ROWS, batch_bytes=_BATCH_BYTES, only_text=True):
        reject = batch.column("_reject")
        if reject.null_count < len(reject):
            row = int(pc.index(pc.is_valid(reject), pa.scalar(True)).as_py())
            raise DataError(text.address, f"{batch.column('source')[row]}: {reject[row]}", "fix the file")
        yield batch
    if tally.damage:
        raise DataError(text.address, tally.damage[0], "fix the file, or copy it again if it was truncated")


def _artifact_batches(address: str, path: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as parquet:
            found = parquet.schema_arrow.names
            for column in columns:
                if column not in found:
                    what = f"found the columns {', '.join(found)}, allowed: one named {column}"
                    raise DataError(address, what, suggest(column, found))
            yield from parquet.iter_batches(batch_size=_ARTIFACT_ROWS, columns=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(address, f"not a complete Parquet file: {error}", "rebuild it") from error
