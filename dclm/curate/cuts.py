"""Where a pipeline is cut when its work is kept in a cache, so that the next run starts before the step that changed.

A cut stores the documents as they are at that point. There are at most two: after extraction, and before the first step
that differs from the last run over the same pool, because a step that was edited once will be edited again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dclm.core.stages.stage import Workspace
from dclm.core.stores.store import join, put, read_bytes
from dclm.curate.pipeline import BoundPipeline
from dclm.extract.step import Extract
from dclm.pool.files import InputFile


def choose_cuts(bound: BoundPipeline, files: Sequence[InputFile], kept: Workspace, work: str) -> set[int]:
    """The indices of the steps before which to cut. `work`: what identifies the pool and how it is read."""
    steps = bound.pipeline.steps
    extracted = 0  # pages are not documents that can be stored
    if any(file.kind == "warc" for file in files):
        extracted = next((i + 1 for i, step in enumerate(steps) if step.name == Extract.name), 0)
    now, before = _identities(bound), _remembered(kept, work)
    same = next((i for i, pair in enumerate(zip(now, before, strict=False)) if pair[0] != pair[1]), len(before))
    return {cut for cut in (extracted, same) if extracted <= cut and 0 < cut < len(steps)}


def remember(bound: BoundPipeline, kept: Workspace, work: str) -> None:
    """Store which steps were run, for the next call of `choose_cuts`."""
    put(_address(kept, work), json.dumps(_identities(bound)).encode())


def _identities(bound: BoundPipeline) -> list[str]:
    return [bound.identity(i, i + 1) for i in range(len(bound.pipeline.steps))]


def _remembered(kept: Workspace, work: str) -> list[str]:
    """The steps of the last run; none if that is unknown."""
    content = read_bytes(_address(kept, work))
    try:
        found = json.loads(content) if content is not None else []
    except ValueError:
        return []
    return [str(item) for item in found] if isinstance(found, list) else []


def _address(kept: Workspace, work: str) -> str:
    return join(kept.work, "pipelines", f"{work[:16]}.json")
