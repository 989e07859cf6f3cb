"""Documents that a step let through, shown next to those it dropped: drawn from the existing samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import to_list
from dclm.core.draw import random_fraction
from dclm.documents.artifact import Artifact, numbers
from dclm.documents.samples import Sample
from dclm.report.pictures.histogram import Cut, find_cuts

PASSED_SHOWN = 6
"""Number of documents shown per step: if available, half were kept in the end and half were dropped later."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passed:
    """A document that a step let through."""

    sample: Sample
    """Its text when it left or was kept, which later steps may have edited."""
    left_at: int | None
    """Index of the step that dropped it later; None if it was kept."""
    number: float | None = None
    """Its value in the column that the step cuts on."""


def passed_samples(
    artifact: Artifact, kept: Sequence[Sample], dropped: Mapping[int, Sequence[Sample]]
) -> dict[int, list[Passed]]:
    """Index of each step that dropped documents → some of the documents it let through.

    For a step that cuts on a column these are the samples closest to the cut, closest first; for other steps they are
    drawn by a hash. One pass over the ledger, if there is a cut.
    """
    cuts = {cut.step: cut for cut in find_cuts(artifact) if cut.step in dropped}
    values = _numbers(
        artifact, {cut.column for cut in cuts.values()}, [*kept, *(s for d in dropped.values() for s in d)]
    )
    out = [Passed(sample=sample, left_at=None) for sample in kept]
    found = {}
    for index in dropped:
        later = [Passed(sample=s, left_at=at) for at, samples in dropped.items() if at > index for s in samples]
        ranked = [_ranked(artifact.seed, index, cuts.get(index), values, passed) for passed in (out, later)]
        least = PASSED_SHOWN // 2
        num_later = min(len(later), max(least, PASSED_SHOWN - len(out)))
        found[index] = [*ranked[0][: PASSED_SHOWN - num_later], *ranked[1][:num_later]]
    return found


def _ranked(
    seed: int, index: int, cut: Cut | None, values: Mapping[str, Mapping[str, float]], passed: Sequence[Passed]
) -> list[Passed]:
    def draw(one: Passed) -> float:
        return random_fraction(seed, f"report:passed:{index}", one.sample.id)

    if cut is None:
        return sorted(passed, key=draw)
    known = values[cut.column]
    there = [dataclasses.replace(one, number=known[one.sample.id]) for one in passed if one.sample.id in known]
    bounds = [bound for bound in (cut.low, cut.high) if bound is not None]
    return sorted(there, key=lambda one: (min((abs((one.number or 0.0) - b) for b in bounds), default=0.0), draw(one)))


def _numbers(artifact: Artifact, columns: set[str], samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Column → id of each sample that has a number there → the number."""
    found: dict[str, dict[str, float]] = {column: {} for column in columns}
    wanted = pa.array([sample.id for sample in samples], pa.string())
    for rows in artifact.rows("id", *sorted(columns)) if columns else ():
        batch = rows.batch.filter(pc.is_in(pc.cast(rows.batch.column("id"), pa.string()), value_set=wanted))
        ids = to_list(batch.column("id"))
        for column, known in found.items():
            there = zip(ids, numbers(batch, column).tolist(), strict=True)
            known.update((name, number) for name, number in there if np.isfinite(number))
    return found
