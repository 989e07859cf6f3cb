"""What a run of a pipeline may choose besides the pipeline and the pool."""

from __future__ import annotations

import dataclasses

VERSION = 9
"""Of the readers, the features and the engine: raise it when their bytes change. Steps have versions of their own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """What a run may choose beside the pipeline and the pool."""

    seed: int = 0
    limit: int | None = None
    """Records to read of the whole pool at most, spread evenly over its files."""
    max_reject_fraction: float = 0.5
    """More rejects than this share of the records read is an error: the pool is not what the pipeline takes it for."""
    unit_bytes: int | None = None
    """Bytes of the pool that one unit of work reads. None: follows the pool's size; 0: each file is a unit."""
    shard_bytes: int | None = None
    """Bytes of a documents file. None: follows the size of the documents, 256 MiB at most; 0: one file per unit."""
