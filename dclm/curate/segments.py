"""From a pipeline to segments: the steps between two points at which all documents must be known.

A step that runs a model also begins a segment, if other steps precede it: these run on all CPUs, even where the model
runs on a few GPUs, and are not repeated where scoring is interrupted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from dclm.core.errors import ConfigError
from dclm.curate.global_step import Global
from dclm.curate.step import Filter, Map, Ordered, Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of local steps. `head` is applied to its input; `tail` receives its output."""

    index: int
    first: int
    """Index of the first local step in the pipeline."""
    steps: tuple[Map | Filter, ...]
    head: Global | Ordered | None
    """The Global or Ordered step before this segment (its index is `first - 1`); None at the start, after a cut, and
    for a segment that begins with a model."""
    tail: Global | Ordered | None
    """The Global or Ordered step after it (its index is `first + len(steps)`); None at the end and before a cut."""
    stored: bool = False
    """Whether the pipeline is cut after it only to store its output: the next steps see the same batches as without a
    cut."""

    @property
    def last(self) -> int:
        """Index in the pipeline after this segment's last local step."""
        return self.first + len(self.steps)

    def wants_gpus(self, gpus: int | None) -> bool:
        """Whether one of its steps runs on GPUs; see `Step.wants_gpus`."""
        return any(step.wants_gpus(gpus) for step in self.steps)


def segments(steps: tuple[Step, ...], cuts: Collection[int] = ()) -> tuple[Segment, ...]:
    """Split the steps at every Global and Ordered one, and before those whose index is in `cuts`.

    Where a pipeline is cut never changes what comes out of it.
    """
    if not steps:
        raise ConfigError("pipeline", "has no steps", "name at least one, such as `extract`")
    divided = {segment.first for segment in segments(steps)} if cuts else set[int]()
    out: list[Segment] = []
    local: list[Map | Filter] = []
    head: Global | Ordered | None = None
    first = 0
    for place, step in enumerate(steps):
        begins = place in cuts and (local or head is not None)
        if isinstance(step, Map | Filter):
            begins = begins or (step.runs_model and local and not any(earlier.runs_model for earlier in local))
        if begins:
            stored = bool(cuts) and place not in divided
            out.append(Segment(index=len(out), first=first, steps=tuple(local), head=head, tail=None, stored=stored))
            local, head, first = [], None, place
        if isinstance(step, Map | Filter):
            local.append(step)
            continue
        assert isinstance(step, Global | Ordered), f"found {type(step)}, allowed: Map, Filter, Global, Ordered"
        out.append(Segment(index=len(out), first=first, steps=tuple(local), head=head, tail=step))
        local, head, first = [], step, place + 1
    out.append(Segment(index=len(out), first=first, steps=tuple(local), head=head, tail=None))
    return tuple(out)
