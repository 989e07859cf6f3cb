"""WebDataset folders as open_lm reads and writes them: tar files of `*.json.gz` members, and a manifest.jsonl.

Source: open_lm's `data.py` (a member is a JSON list of ids; negative ids count from the end of the vocabulary) and
`file_utils.py` (manifest lines with `shard` and `num_sequences`, in older sets `num_chunks`). Differences: the last
manifest line is read whether or not a newline ends it (open_lm drops one without), and a row of the wrong length, an
unreadable member or a count that differs from the manifest's is an error, while open_lm logs it and continues.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import shutil
import tarfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from dclm.core.counts import TokensCounts
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import RECORD, FileEntry, Record, fingerprint, provenance, write_record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stages.lease import held
from dclm.core.stages.ownership import claim_directory, claim_folder, release_directory, require_directory
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.storage import atomic_file, is_local, open_input, sha256_file, write_atomic
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.manifest import MANIFEST, Shard, format_manifest, parse_manifest, write_manifest

_SUFFIXES = (".json.gz", ".json", ".txt")
OPEN_LM_VOCAB_SIZE = 50432
"""Vocabulary size of DCLM's models: GPT-NeoX's, rounded up. Negative ids are taken modulo this."""


@dataclass(frozen=True, kw_only=True)
class ImportUnit:
    """One tar file."""

    tar: str
    num_sequences: int | None
    """Number of sequences in the manifest; None if none exists."""
    seq_len: int
    vocab_size: int | None
    """None: not given, and negative ids are refused."""
    dtype: Literal["uint16", "uint32"]
    out: str
    name: str


def import_webdataset(
    folder: Path | str,
    out: Path,
    *,
    seq_len: int = 2048,
    vocab_size: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> Record:
    """Make a tokens artifact from a WebDataset folder (or URL), with the rows in their original order.

    Shards are read in the order of the manifest; if a local folder has none, by name. The fingerprint covers the rows
    themselves, so that a changed folder is never mistaken for the old one. Negative ids count from the end of the
    vocabulary: they require `vocab_size`, without which ids must be below DCLM's 50,432. force: replace finished
    tokens; whether they are the same is known only once all rows have been read. Raises: ConfigError if there are
    finished tokens at `out`; DataError (nothing there, a corrupt tar, a row of another length, an id outside the
    vocabulary).
    """
    require_directory(out, "tokens", [folder])
    if (out / RECORD).exists() and not force:
        what = "holds finished tokens; whether they are these rows is known only after all of them have been read"
        raise ConfigError(str(out), what, "choose another directory, or pass --force to replace them")
    claim_directory(out, "tokens", [folder])
    with held(out):
        return _import(folder, out, seq_len, vocab_size, engine or SerialEngine(), progress or NullProgress())


def _import(
    folder: Path | str, out: Path, seq_len: int, vocab_size: int | None, engine: Engine, progress: Progress
) -> Record:
    started = time.time()
    shards = _find_shards(folder)
    (out / RECORD).unlink(missing_ok=True)
    shutil.rmtree(out / "tokens", ignore_errors=True)  # from an earlier import, which may have had more shards
    dtype: Literal["uint16", "uint32"] = "uint16" if (vocab_size or OPEN_LM_VOCAB_SIZE) <= 1 << 16 else "uint32"
    units = [
        ImportUnit(
            tar=_tar(folder, shard.name),
            num_sequences=shard.num_sequences,
            seq_len=seq_len,
            dtype=dtype,
            vocab_size=vocab_size,
            out=str(out),
            name=f"tokens/{index:05d}.bin",
        )
        for index, shard in enumerate(shards)
    ]
    progress.start("import", len(units))
    entries: dict[int, FileEntry] = {}
    for index, entry in engine.map(_import_shard, units):
        entries[index] = entry
        progress.advance(1, entry.rows or 0)
    progress.finish()
    files = [entries[index] for index in range(len(units)) if entries[index].rows]
    sequences = sum(f.rows or 0 for f in files)
    size = vocab_size or OPEN_LM_VOCAB_SIZE
    identity = {"stage": "import_webdataset", "version": 1, "seq_len": seq_len, "vocab_size": size}
    record = Record(
        kind="tokens",
        name=out.name,
        fingerprint=fingerprint(identity | {"files": [f.sha256 for f in files]}),
        config={"seq_len": seq_len, "vocab_size": size, "dtype": dtype, "packing": "webdataset"},
        counts=TokensCounts(sequences=sequences, tokens=sequences * seq_len, ids=sequences * (seq_len + 1)).plain(),
        files=(*files, write_manifest(out, files)),
        provenance=provenance(started),
    )
    record = write_record(out, record)
    release_directory(out)
    return record


def export_webdataset(
    tokens: Path, out: Path, *, engine: Engine | None = None, progress: Progress | None = None
) -> None:
    """Write a tokens artifact in the format that open_lm's training reads: `00000000.tar` …, and manifest.jsonl last.

    The bytes depend only on the artifact. Every manifest line ends with a newline: open_lm drops one that does not.
    Raises: the errors of `TokenDataset`.
    """
    progress = progress or NullProgress()
    dataset = TokenDataset(tokens)
    bounds = [0]
    for file in dataset.record.files:
        if file.path.startswith("tokens/"):
            bounds.append(bounds[-1] + (file.rows or 0))
    claim_folder(out, "WebDataset", [tokens])
    ranges = [(index, low, high) for index, (low, high) in enumerate(itertools.pairwise(bounds))]
    progress.start("export", len(ranges))
    for _, rows in (engine or SerialEngine()).map(partial(_export_shard, tokens, out), ranges):
        progress.advance(1, rows)
    progress.finish()
    lines = format_manifest([Shard(f"{index:08d}", high - low) for index, low, high in ranges])
    write_atomic(out / MANIFEST, lines.encode())


def _find_shards(folder: Path | str) -> list[Shard]:
    name = f"{str(folder).rstrip('/')}/{MANIFEST}"
    try:
        with open_input(name) as handle:
            text = handle.read()
    except DataError:
        tars = sorted(p.stem for p in Path(folder).glob("*.tar")) if is_local(folder) else []
        if not tars:
            raise DataError(
                str(folder), f"found neither {MANIFEST} nor .tar files", "pass the folder that contains them"
            ) from None
        return [Shard(tar, None) for tar in tars]
    return parse_manifest(text.decode("utf-8", errors="replace"), name)


def _tar(folder: Path | str, shard: str) -> str:
    return f"{str(folder).rstrip('/')}/{shard}.tar"


def _import_shard(unit: ImportUnit) -> FileEntry:
    rows = []
    try:
        with open_input(unit.tar) as handle, tarfile.open(fileobj=handle, mode="r|*") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(_SUFFIXES):
                    content = archive.extractfile(member)
                    assert content is not None
                    rows.append(_row(unit, member.name, content.read()))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(unit.tar, f"not a complete tar file: {error}", "copy it again") from error
    if unit.num_sequences is not None and unit.num_sequences != len(rows):
        what = f"found {len(rows):,} sequences, but the manifest states {unit.num_sequences:,}"
        raise DataError(unit.tar, what, "copy it again, or delete the manifest if the file is right")
    data = np.asarray(rows, dtype=np.dtype(unit.dtype).newbyteorder("<")).reshape(len(rows), unit.seq_len + 1)
    path = Path(unit.out) / unit.name
    with atomic_file(path) as temporary:
        data.tofile(temporary)
    return FileEntry(path=unit.name, sha256=sha256_file(path), bytes=path.stat().st_size, rows=len(rows))


def _row(unit: ImportUnit, member: str, content: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    where = f"{unit.tar}: {member}"
    try:
        values = json.loads(gzip.decompress(content) if member.endswith(".gz") else content)
        row = np.array(values)
        if row.dtype.kind != "i":  # floats, text, maps, numbers beyond 64 bits
            raise ValueError(f"numbers of the wrong type: {row.dtype}")
    except (ValueError, TypeError, OverflowError, EOFError, OSError) as error:
        raise DataError(where, f"not a list of token ids: {error}", "copy the file again") from error
    if row.shape != (unit.seq_len + 1,):
        what = f"found shape {row.shape}, allowed: ({unit.seq_len + 1},)"
        raise DataError(where, what, "pass the --seq-len that the set was made with")
    if unit.vocab_size is None and row.min() < 0:
        what = f"found the id {row.min()}, which counts from the end of a vocabulary of unknown size"
        raise DataError(where, what, f"pass --vocab-size: {OPEN_LM_VOCAB_SIZE} for DCLM's models")
    size = unit.vocab_size or OPEN_LM_VOCAB_SIZE
    row[row < 0] += size
    if row.min() < 0 or row.max() >= size:
        what = f"found ids {row.min()} … {row.max()}, allowed: below {size}"
        raise DataError(where, what, "pass the --vocab-size of the model it was made for")
    return row


def _export_shard(tokens: Path, out: Path, piece: tuple[int, int, int]) -> int:
    index, low, high = piece
    dataset = TokenDataset(tokens)
    with atomic_file(out / f"{index:08d}.tar") as temporary, tarfile.open(temporary, "w") as archive:
        for row in range(low, high):
            text = json.dumps(dataset[row].tolist()).encode()
            data = gzip.compress(text, mtime=0)
            info = tarfile.TarInfo(f"{index:08d}_{row - low:08d}.json.gz")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return high - low
