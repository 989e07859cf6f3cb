"""The cost of curation: measured when it runs, and extrapolated to a whole pool."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dclm.core.errors import ConfigError
from dclm.core.line import Line
from dclm.core.record import Record, canonical, require_complete
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import CONSUMED, FILES
from dclm.curate.pipeline import Pipeline


class Meter:
    """CPU seconds of all units of a run, including those finished before a restart, and the storage that its work
    needs."""

    def __init__(self) -> None:
        self._lasting = self._consumed = self._peak = 0

    def look(self, outcomes: Iterable[Outcome]) -> None:
        """Call with a segment's outcomes when it ends, when storage use peaks: keys are deleted once they are used."""
        self._consumed = 0
        for outcome in outcomes:
            self._lasting += _bytes_of(outcome, FILES)
            self._consumed += _bytes_of(outcome, CONSUMED)
        self._peak = max(self._peak, self._lasting + self._consumed)

    def cost(self, outcomes: Iterable[Outcome]) -> dict[str, object]:
        """Fields for the record's provenance, from the outcomes of all units."""
        seconds = [float(str(outcome["cpu_seconds"])) for outcome in outcomes]
        return {
            "cpu_seconds": round(sum(seconds), 3),
            "slowest_unit_cpu_seconds": max(seconds),
            "work_bytes": self._peak,
        }


def _bytes_of(outcome: Outcome, key: str) -> int:
    files = outcome.get(key, {})
    assert isinstance(files, Mapping)
    return sum(size for size, _ in files.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a pipeline for a part of a pool. Everything grows linearly with the pool's bytes.

    The first run on a machine compiles kernels, about a minute of CPU per worker, which is included: measure a later
    one.
    """

    artifact: Path | str
    pool_bytes: int
    """Size as stored: compressed size for compressed files."""
    documents: int
    """Number of documents read, not kept."""
    cpu_seconds: float
    work_bytes: int
    """Peak disk use while it ran, in addition to the pool."""
    kept_bytes: int
    """Size of the artifact."""

    @classmethod
    def of(cls, artifact: Path | str, record: Record) -> Cost:
        """The cost stated in the record of a documents artifact."""
        numbers = {**record.counts, **record.provenance}
        return cls(
            artifact=artifact,
            pool_bytes=int(str(numbers["pool_bytes"])),
            documents=int(str(numbers["read"])),
            cpu_seconds=max(float(str(numbers["cpu_seconds"])), 0.001),
            work_bytes=int(str(numbers["work_bytes"])),
            kept_bytes=sum(entry.bytes for entry in record.files),
        )

    @property
    def documents_per_second(self) -> float:
        """Documents per second on one core."""
        return self.documents / self.cpu_seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curation:
    """Basis of a plan of curation."""

    measured: tuple[Path, ...] = ()
    """Documents artifacts made by the recipe's pipelines from a part of their pools."""
    pool_bytes: int | None = None
    """Size of each pool; None: of the files that the recipe names."""
    cores: int = 1
    price: float | None = None
    """Price of a core-hour."""


def measured_cost(artifact: Path, pipeline: Pipeline | None = None) -> Cost:
    """The cost of the documents artifact.

    Raises: ConfigError if it cannot be extrapolated: it was made by steps other than the pipeline's, or with a limit.
    """
    record = require_complete(artifact, "documents", allow_missing=True)
    if pipeline is not None and record.config["steps"] != canonical(pipeline.steps):
        raise ConfigError(str(artifact), f"made by {record.name} with different steps than those of {pipeline.name}")
    if record.config["limit"] is not None:
        hint = "curate a few whole files of the pool instead"
        raise ConfigError(str(artifact), f"made with --limit {record.config['limit']}: no whole file was read", hint)
    return Cost.of(artifact, record)


def cost_lines(cost: Cost, pool_bytes: int, plan: Curation) -> Iterator[Line]:
    """The cost of a whole pool, in proportion to the measured one."""
    times = pool_bytes / cost.pool_bytes
    hours = cost.cpu_seconds * times / 3600
    price = "" if plan.price is None else f", cost {hours * plan.price:,.2f} at {plan.price:g} per core-hour"
    rate = f"{cost.documents_per_second:,.0f} documents/s, {size_text(cost.pool_bytes / cost.cpu_seconds)}/s per core"
    basis = f"{cost.artifact}: {size_text(cost.pool_bytes)} in {cost.cpu_seconds:,.0f} CPU seconds"
    yield Line(f"measured {rate} ({basis})", measured=True, documents_per_core_second=cost.documents_per_second)
    wall = f"{_number(hours / plan.cores)} h on {plan.cores:,} {'core' if plan.cores == 1 else 'cores'}"
    text = f"time     {size_text(pool_bytes)}: {_number(hours)} core-hours, {wall}{price}"
    yield Line(text, **_time(pool_bytes, hours, plan))
    least, most = cost.kept_bytes * times, (cost.work_bytes + cost.kept_bytes) * times
    text = f"disk     {size_text(least)} at the end, at most {size_text(most)} while it runs"
    yield Line(text, disk_bytes=round(least), most_disk_bytes=round(most))


def _time(pool_bytes: int, hours: float, plan: Curation) -> dict[str, object]:
    return {
        "pool_bytes": pool_bytes,
        "core_hours": hours,
        "cores": plan.cores,
        "hours": hours / plan.cores,
        "cost": None if plan.price is None else hours * plan.price,
    }


class Rate(NamedTuple):
    """What one core did in a benchmark; see docs/benchmarks.md."""

    pages_per_second: float
    bytes_per_page: int
    """As stored in the pool."""
    what: str


RATES: Mapping[str, Rate] = {
    "warc": Rate(250, 24_600, "DCLM's filters with extraction on WARC files of Common Crawl, `bench_pipeline`"),
    "text": Rate(1_567, 4_000, "DCLM's filters with language identification on pages of 4 kB, `bench_filters`"),
}
"""Kind of pool → the rate by which curation is estimated if no part of it was measured."""


def estimate_lines(kind: str, pool_bytes: int, plan: Curation) -> Iterator[Line]:
    """The time for a whole pool by the rate of a benchmark: only its order of magnitude is to be relied on."""
    rate = RATES[kind]
    hours = pool_bytes / rate.bytes_per_page / rate.pages_per_second / 3600
    price = "" if plan.price is None else f", cost {hours * plan.price:,.2f} at {plan.price:g} per core-hour"
    wall = f"{_number(hours / plan.cores)} h on {plan.cores:,} {'core' if plan.cores == 1 else 'cores'}"
    text = f"time     estimate for {size_text(pool_bytes)}: about {_number(hours)} core-hours, {wall}{price}"
    yield Line(text, measured=False, **_time(pool_bytes, hours, plan))
    basis = f"{rate.pages_per_second:,g} pages/s per core: {rate.what}"
    yield Line(f"         ({basis}; models in steps take more; --measured gives the real rate)")


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


def parse_size(text: str) -> int:
    """Bytes from `340TB`, `1.5 GB`, `1000`. Raises: ConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(f"size {text}", "allowed: bytes, or a number with KB, MB, GB, TB or PB")
    return round(float(found[1]) * _UNITS[found[2].upper()])


def _number(value: float) -> str:
    """A number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size_text(number: float) -> str:
    """Three significant digits and a unit."""
    name = next((n for n, v in reversed(_UNITS.items()) if number >= v), "")
    return f"{number / _UNITS[name]:,.3g} {name}B"
