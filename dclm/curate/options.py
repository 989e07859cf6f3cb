"""Options of a run, in addition to the pipeline and the pool."""

from __future__ import annotations

import dataclasses

VERSION = 11
"""Version of the readers, features and engine: raise it when their output changes. Steps have their own versions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """Options of a run, in addition to the pipeline and the pool."""

    seed: int = 0
    limit: int | None = None
    """Maximum number of records to read from the whole pool, spread evenly over its files."""
    max_reject_fraction: float = 0.5
    """A larger fraction of rejects is an error: the pool is not what the pipeline expects."""
    unit_bytes: int | None = None
    """Bytes of the pool that one unit of work reads. None: depends on the pool's size; 0: each file is a unit."""
    shard_bytes: int | None = None
    """Bytes of a documents file. None: depends on the size of the documents, at most 256 MiB; 0: one file per unit."""
