"""Reading artifacts back: why a document left, how much each step let through, what it dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record, read_record

EXCERPT = 240
_PLACE = ("id", "url", "source", "step", "step_index", "reason")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one record."""

    id: str
    url: str | None
    source: str
    outcome: str
    """`kept`, `dropped by STEP`, or `rejected by STEP: REASON`."""
    step_index: int | None
    annotations: Mapping[str, float | str | bool]
    """What steps had said of it by then, such as `quality`, and the `characters` of its text."""


def fates(artifact: Path, what: str) -> list[Fate]:
    """The ledger rows whose id or URL is `what`.

    Raises: DataError if no record of the pool has it.
    """
    found = [fate for path in _ledger(artifact) for fate in _find(path, what)]
    if not found:
        raise DataError(f"{artifact}", f"no record with id or URL {what}", "ids and URLs are matched whole")
    return found


def _ledger(artifact: Path) -> list[Path]:
    record = read_record(artifact)
    if record.kind != "documents":
        raise ConfigError(str(artifact), f"found an artifact of kind {record.kind}, allowed: documents")
    return [artifact / f.path for f in record.files if f.path.startswith("ledger/")]


def _find(path: Path, what: str) -> Iterator[Fate]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            mask = pc.or_kleene(pc.equal(batch.column("id"), what), pc.equal(batch.column("url"), what))
            for row in batch.filter(mask).to_pylist():
                outcome = "kept"
                if row["reason"] is not None:
                    outcome = f"rejected by {row['step']}: {row['reason']}"
                elif row["step"] is not None:
                    outcome = f"dropped by {row['step']}"
                said = {k: v for k, v in row.items() if k not in _PLACE and v is not None}
                yield Fate(
                    id=row["id"],
                    url=row["url"],
                    source=row["source"],
                    outcome=outcome,
                    step_index=row["step_index"],
                    annotations=said,
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaterfallRow:
    """One step of the waterfall."""

    index: int
    step: str
    documents_in: int
    dropped: int
    rejected: int
    edits: int
    documents_out: int
    bytes_out: int
    tokens_out: int | None
    """Estimated: bytes × tokens per byte, measured on kept documents."""


def waterfall(record: Record, tokens_per_byte: float | None) -> list[WaterfallRow]:
    """How many documents, bytes and (estimated) tokens came out of each step."""
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    rows = []
    for count in steps:
        out = count["documents_in"] - count["dropped"] - count["rejected"]
        tokens = None if tokens_per_byte is None else round(count["bytes_out"] * tokens_per_byte)
        rows.append(
            WaterfallRow(
                index=count["index"],
                step=count["step"],
                documents_in=count["documents_in"],
                dropped=count["dropped"],
                rejected=count["rejected"],
                edits=count["edits"],
                documents_out=out,
                bytes_out=count["bytes_out"],
                tokens_out=tokens,
            )
        )
    return rows


def samples(artifact: Path) -> pa.Table:
    """Samples of what each step dropped: step_index, step, id, url, text (cut), ordered by step."""
    record = read_record(artifact)
    paths = [artifact / f.path for f in record.files if f.path.startswith("samples/")]
    table = pa.concat_tables([pq.read_table(p) for p in paths])
    return table.sort_by([("step_index", "ascending"), ("id", "ascending")])


def measure_tokens_per_byte(artifact: Path, tokenizer: str, documents: int = 200) -> float | None:
    """GPT-NeoX (or another tokenizer's) tokens per UTF-8 byte over the first kept documents; None if none were kept."""
    from tokenizers import Tokenizer

    from dclm.assets import resolve

    model = Tokenizer.from_file(str(resolve(tokenizer).path))
    num_tokens = num_bytes = 0
    for file in sorted((artifact / "documents").glob("*.parquet")):
        if documents <= 0:
            break
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=documents, columns=["text"]):
                texts = batch.column(0).to_pylist()[:documents]
                documents -= len(texts)
                num_bytes += sum(len(t.encode()) for t in texts)
                num_tokens += sum(len(e.ids) for e in model.encode_batch(texts, add_special_tokens=False))
                if documents <= 0:
                    break
    return num_tokens / num_bytes if num_bytes else None
