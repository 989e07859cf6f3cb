"""Sources that are mixed label by label: the documents of one source, split by the values of their columns.

`by: {web: topic}` of a swarm makes one source per topic, named `web.news`, `web.sports` and so on: a documents artifact
of its own, made by the step `labels` from the curated documents of `web`. Labels with little text are put together, so
that the mixture has few shares to find: `web.other`, with documents that have no label.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.arrow import filled, lengths, to_list
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record, read_record
from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import Progress
from dclm.core.stores.store import join, verified_file
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import Origin, curate
from dclm.pool.files import list_files
from dclm.select.groups import DOMAIN
from dclm.select.labels import Labels, labels_of

OTHER = "other"
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]+")
_BATCH_ROWS = 4096

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelPart:
    """The documents of a source that have one label."""

    name: str
    """SOURCE.LABEL"""
    step: Labels
    share: float
    """Its fraction of the source's text, in bytes."""


def find_parts(source: str, address: str, columns: tuple[str, ...], min_share: float) -> tuple[LabelPart, ...]:
    """The parts of the documents at `address`, largest first, `other` last. Their shares sum to 1.

    Raises: ConfigError if there is no such column, fewer than two parts, or two labels give the same name.
    """
    sizes = _bytes_by_label(source, address, columns)
    total = sum(sizes.values())
    labels = sorted((label for label in sizes if label is not None), key=lambda label: (-sizes[label], label))
    large = [label for label in labels if total and sizes[label] / total >= min_share]
    rest = total - sum(sizes[label] for label in large)
    names = {label: f"{source}.{_UNSAFE.sub('_', label).strip('_') or '_'}" for label in large}
    taken = {*names.values(), f"{source}.{OTHER}"} if rest else {*names.values()}
    if len(taken) < len(names) + bool(rest):
        what = f"found the labels {', '.join(large)}, which do not give names of their own"
        what += f", next to `{source}.{OTHER}` for the rest" if rest else ""
        raise ConfigError(f"by.{source}", what, "rename the labels")
    parts = [
        LabelPart(name=names[label], step=Labels(columns=columns, keep=(label,)), share=sizes[label] / total)
        for label in large
    ]
    if rest and large:
        step = Labels(columns=columns, drop=tuple(large), keep_unlabeled=True)
        parts.append(LabelPart(name=f"{source}.{OTHER}", step=step, share=rest / total))
    if len(parts) < 2:
        what = f"found {len(parts)} parts with at least {min_share:.3g} of the text, allowed: two or more"
        raise ConfigError(f"by.{source}", what, "lower `min_label_share`, or mix the source as a whole")
    return tuple(parts)


def make_parts(
    parts: Sequence[LabelPart],
    source: str,
    place: Callable[[str], str],
    engine: Engine,
    progress: Progress,
    *,
    force: bool,
    say: Say,
) -> None:
    """Write the documents artifact of each part at `place(part.name)`, or reuse it. Raises: the errors of `curate`."""
    address = place(source)
    record = read_record(address)
    origin = Origin(
        inputs={"documents": record.fingerprint}, digests={"documents": record.digest}, count=lambda out, made: {}
    )
    for part in parts:
        bound = bind(Pipeline(name=part.name, steps=(part.step,)))
        options = CurateOptions()
        curate(bound, list_files([address]), place(part.name), options, engine, progress, force=force, origin=origin)
    shares = ", ".join(f"{part.name} {part.share:.1%}" for part in parts)
    say(f"split {source} by {' and '.join(parts[0].step.names)}: {shares}")


def proportions(parts: Sequence[LabelPart]) -> Mapping[str, float]:
    """Name of each part → its share of the source's text."""
    return {part.name: part.share for part in parts}


def _bytes_by_label(source: str, address: str, columns: tuple[str, ...]) -> dict[str | None, int]:
    record: Record = read_record(address)
    read = [*(("url",) if DOMAIN in columns else ()), *(name for name in columns if name != DOMAIN), "text"]
    sizes: dict[str | None, int] = {}
    for entry in record.files:
        if not entry.path.startswith("documents/"):
            continue
        with pq.ParquetFile(verified_file(join(address, entry.path), entry.sha256)) as parquet:
            missing = [name for name in read if name not in parquet.schema_arrow.names]
            if missing:
                found = ", ".join(parquet.schema_arrow.names)
                raise ConfigError(f"by.{source}", f"no column {missing[0]}, found: {found}", "a step must add it")
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=read):
                table = pa.table(
                    {
                        "label": labels_of(batch, columns, f"by.{source}"),
                        "bytes": filled(lengths(batch.column("text")), 0).cast(pa.int64()),
                    }
                )
                sums = table.group_by("label").aggregate([("bytes", "sum")])
                for label, size in zip(to_list(sums["label"]), to_list(sums["bytes_sum"]), strict=True):
                    sizes[label] = sizes.get(label, 0) + size
    if not sizes:
        raise DataError(address, "found no documents to split by their labels")
    return sizes
