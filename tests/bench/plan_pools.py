"""Resources for pools of DCLM's sizes: units, journal entries, objects, requests, driver memory and hours, by
arithmetic.

`python -m tests.bench.plan_pools` prints the table of docs/pool_sizes.md. The rates are arguments; their defaults were
printed by the benchmarks that the help names.
"""

from __future__ import annotations

import argparse
import math
from typing import NamedTuple

from dclm.core.stages.journal import FLUSH_SECONDS, FLUSH_UNITS
from dclm.curate.exchange.keys import _MOST_PARTITIONS, _SHARDS_PER_16, MOST_FILES
from dclm.curate.exchange.routing import shards_per_block
from dclm.curate.output.gather import LARGEST_SHARD_BYTES
from dclm.pool.units import _MOST_UNITS, LARGEST_UNIT_BYTES

DOCUMENTS_PER_FILE = 42_600
"""439.0 million documents in the 10,305 files of the smallest pool."""
BYTES_PER_FILE = 1_050_000_000
"""Size of a WARC.gz file of Common Crawl."""
KEPT_BYTES_PER_DOCUMENT = 40
"""Bytes of a documents file per document read: about 1.4% are kept, with about 3 kB each in zstd."""
POOLS = {"400m_1x": 10_305, "1b_1x": 36_000, "7b_1x": 172_000, "7b_2x": 344_000, "all of DCLM-Pool": 5_100_000}
"""Number of files; for the scales in between, in proportion to their tokens."""


class Rates(NamedTuple):
    """Rates measured by the benchmarks."""

    documents_per_second: float
    """Rate of one core, from WARC to filtered documents (`bench_pipeline`)."""
    cores: int
    driver_ms_per_unit: float
    driver_bytes_per_unit: float
    driver_base_mb: float


class Need(NamedTuple):
    """Resources for one pool."""

    units: int
    partitions: int
    journal_entries: int
    objects: int
    requests: int
    driver_mb: float
    driver_hours: float
    hours: float


def need(files: int, rates: Rates) -> Need:
    """Resources of a pipeline with one MinHash step: two segments, the exchange between them, and the gathering."""
    size = max(LARGEST_UNIT_BYTES, files * BYTES_PER_FILE // _MOST_UNITS)
    units = files * (BYTES_PER_FILE // size) if 2 * size <= BYTES_PER_FILE else files * BYTES_PER_FILE // size
    partitions = min(16 * math.ceil(units / _SHARDS_PER_16), _MOST_PARTITIONS)
    merged = min(units, MOST_FILES) if units > MOST_FILES else 0
    blocks = math.ceil(units / shards_per_block(units))
    documents = files * DOCUMENTS_PER_FILE
    shards = max(16, math.ceil(documents * KEPT_BYTES_PER_DOCUMENT / LARGEST_SHARD_BYTES))
    all_units = 2 * units + merged + 2 * partitions + blocks + shards
    seconds = documents / rates.documents_per_second / rates.cores
    entries = max(math.ceil(all_units / FLUSH_UNITS), min(all_units, math.ceil(seconds / FLUSH_SECONDS)))
    objects = 4 * units + 3 * units + merged + 2 * partitions + blocks + 3 * shards
    reads = 4 * units + merged * partitions + partitions * partitions + 2 * units
    return Need(
        units=units,
        partitions=partitions,
        journal_entries=entries,
        objects=objects,
        requests=objects + reads + entries,
        driver_mb=rates.driver_base_mb + all_units * rates.driver_bytes_per_unit / 1e6,
        driver_hours=all_units * rates.driver_ms_per_unit / 3.6e6,
        hours=seconds / 3600,
    )


def main(rates: Rates) -> None:
    """Print the table."""
    print("| pool | files | units | partitions | journal entries | objects | requests | driver MB | driver h | hours |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, files in POOLS.items():
        found = need(files, rates)
        print(
            f"| {name} | {files:,} | {found.units:,} | {found.partitions:,} | {found.journal_entries:,}"
            f" | {found.objects:,} | {found.requests:,} | {found.driver_mb:,.0f} | {found.driver_hours:,.2f}"
            f" | {found.hours:,.1f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--documents-per-second", type=float, default=250, help="per core, bench_pipeline")
    parser.add_argument("--cores", type=int, default=1000)
    parser.add_argument("--driver-ms-per-unit", type=float, default=0.2, help="bench_driver --on ray, and outcomes")
    parser.add_argument("--driver-bytes-per-unit", type=float, default=2500, help="packed outcome, unit and addresses")
    parser.add_argument("--driver-base-mb", type=float, default=200, help="bench_driver --on ray")
    main(Rates(**vars(parser.parse_args())))
