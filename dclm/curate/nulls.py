"""The error for a pool in which a field that a step needs is always null, usually because it has another name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dclm.core.errors import DataError
from dclm.curate.step import Step


def require_fields(steps: Sequence[Step], fields: Mapping[str, int]) -> None:
    """Compare the columns that the steps read with those in which the pool's documents have values.

    fields: column → number of documents with a value; `documents`: number of all documents (`dclm.pool.read.Tally`).
    Columns that the pool lacks are left to the step, because another step may add them.
    Raises: DataError naming the step and the field.
    """
    documents = fields.get("documents", 0)
    for step in steps if documents else ():
        if not type(step).__module__.startswith("dclm."):
            return  # it may fill any column
        for name in step.reads:
            if fields.get(name) == 0:
                what = f"`{name}` is null in all {documents:,} documents of the pool, so the step cannot decide"
                hint = (
                    f"name the field that contains it (`pool: {{jsonl: ..., {name}: FIELD}}`, in a recipe) or drop it"
                )
                raise DataError(f"step {step.name}", what, hint)


def sum_fields(shards: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sums over all shards, by name."""
    total: Counter[str] = Counter()
    for fields in shards:
        total.update(fields)
    return dict(sorted(total.items()))
