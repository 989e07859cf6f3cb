"""Where the data of each task can be had: an asset per file, `eval/<folder>/<name>.jsonl`."""

from __future__ import annotations

import gzip

from dclm.assets import Asset, LocalFile
from dclm.errors import AssetError
from dclm.eval.rows import canonical_rows, parse_rows
from dclm.eval.task import Task


def task_asset(task: Task) -> Asset:
    """The asset that holds the rows of `task`, in canonical JSONL.

    Raises: AssetError where the rows have no pinned hash.
    """
    data = task.metadata.data
    if data.sha256 is None:
        raise AssetError(f"data of task {task.task}", "its authors ask that the rows stay encrypted")
    return Asset(
        name=f"eval/{data.file}",
        sources=(LocalFile(path=f"eval/{data.file}.gz", transform=canonical_gzip),),
        sha256=data.sha256,
        licence=task.metadata.licence,
        description=task.metadata.about,
    )


def canonical_gzip(data: bytes) -> bytes:
    """Canonical JSONL of a gzip file of JSONL."""
    return canonical_rows(parse_rows("evaluation data", gzip.decompress(data)))
