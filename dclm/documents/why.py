"""Why a document left: the ledger rows of an id or a URL, with the evidence for the decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.curate.global_step import REASONS
from dclm.documents.artifact import Artifact

_PLACE = ("id", "url", "source", "step", "step_index", "reason", *REASONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fate:
    """What happened to one record."""

    id: str
    url: str | None
    source: str
    outcome: str
    """`kept`, `dropped by STEP`, or `rejected by STEP: REASON`."""
    step_index: int | None
    rule: str | None = None
    """The rule of the step that it broke; None if the step has only one."""
    kept_id: str | None = None
    """Id of the document that was kept instead, if it was dropped as a duplicate."""
    kept_url: str | None = None
    kept_source: str | None = None
    """The recipe's source that this document comes from, where there are several in the artifact."""
    similarity: float | None = None
    """Jaccard index of the two documents; 1 if they are equal, None if it was not computed."""
    annotations: Mapping[str, float | str | bool]
    """Annotations by steps up to then, such as `quality`, and the `characters` of its text."""

    @property
    def reasons(self) -> dict[str, float | str]:
        """The known facts about why it was dropped, by name."""
        found = {name: getattr(self, name) for name in ("rule", "kept_id", "kept_url", "kept_source", "similarity")}
        return {name: value for name, value in found.items() if value is not None}


def fates(root: Path | str | Sequence[str], what: str) -> list[Fate]:
    """The ledger rows whose id or URL is `what`; `root` is one documents artifact or several.

    Raises: DataError if the pool has no such record; ConfigError if `root` is not a documents artifact.
    """
    roots = [root] if isinstance(root, str | Path) else root
    found = [
        fate
        for artifact in map(Artifact, roots)
        for path in artifact.files("ledger")
        for fate in _find(artifact, path, what)
    ]
    if not found:
        raise DataError(
            ", ".join(map(str, roots)), f"no record with id or URL {what}", "the complete id or URL must match"
        )
    return found


def _find(artifact: Artifact, path: Path, what: str) -> Iterator[Fate]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            wanted = pa.scalar(what)
            mask = pc.or_kleene(pc.equal(batch.column("id"), wanted), pc.equal(batch.column("url"), wanted))
            for row in batch.filter(mask).to_pylist():
                outcome = "kept"
                if row["reason"] is not None:
                    outcome = f"rejected by {row['step']}: {row['reason']}"
                elif row["step"] is not None:
                    outcome = f"dropped by {row['step']}"
                said = {k: v for k, v in row.items() if k not in _PLACE and v is not None}
                kept = None
                if row.get("kept_shard") is not None:
                    kept = artifact.record_at(row["kept_shard"], row["kept_row"])
                yield Fate(
                    id=row["id"],
                    url=row["url"],
                    source=row["source"],
                    outcome=outcome,
                    step_index=row["step_index"],
                    rule=row.get("rule"),
                    kept_id=None if kept is None else kept.id,
                    kept_url=None if kept is None else kept.url,
                    kept_source=None if kept is None else kept.source_name,
                    similarity=row.get("similarity"),
                    annotations=said,
                )
