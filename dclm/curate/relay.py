"""Rounds over tables (see `dclm.curate.step.Relay`): rows go to the partition of their key and come back as other rows.

A unit reads its partition of what all units of the round before wrote, piece after piece, and leaves

    rows.arrow  tables piece 0 partition 0, piece 0 partition 1 …    unit.json  fingerprint, news
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dclm.core.record import fingerprint
from dclm.curate.files import finished, read_tables, unit_directory, write_tables
from dclm.curate.keys import map_partition
from dclm.curate.pieces import pieces
from dclm.curate.step import Relay

Run = Callable[[str, Callable[["Leg"], None], Sequence["Leg"]], None]
"""Does the units that are not finished: label, function, units."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leg:
    """One partition in one round."""

    fingerprint: str
    directory: str
    partition: int
    partitions: int
    turn: int | None
    """Index of the relay's step; None: rows are made of reduced tables."""
    sources: tuple[str, ...]
    """Files of the round before; the partition's reduced tables, where `turn` is None."""


class _Leg:
    """What units of a relay run; picklable, without what only the driver needs."""

    def __init__(self, relay: Relay) -> None:
        self._start, self._steps = relay.start, relay.steps

    def __call__(self, unit: Leg) -> None:
        news = 0

        def passed() -> Iterator[pa.Table]:
            nonlocal news
            if unit.turn is None:
                for table in read_tables(Path(unit.sources[0])):
                    yield from _spread(self._start(table), unit.partitions)
                return
            for piece in pieces(map_partition(unit.sources, unit.partition, unit.partitions)):
                found = self._steps[unit.turn](piece)
                news += found.news
                yield from _spread(found.rows, unit.partitions)

        with unit_directory(unit.directory, unit.fingerprint) as (directory, result):
            write_tables(directory / "rows.arrow", passed())
            result["news"] = news


def run_relay(relay: Relay, reduced: Sequence[Path], directory: Path, identity: str, run: Run) -> Iterator[pa.Table]:
    """Rounds until each step in turn has had no news; gives the last rows, all of a key in one table."""
    count = len(reduced)

    def units(number: int, turn: int | None, sources: Sequence[tuple[str, ...]]) -> list[Leg]:
        return [
            Leg(
                fingerprint=fingerprint([identity, number, p]),
                partition=p,
                partitions=count,
                turn=turn,
                directory=str(directory / f"relay-{number:03d}" / f"part-{p:04d}"),
                sources=sources[p],
            )
            for p in range(count)
        ]

    legs = units(0, None, [(str(path),) for path in reduced])
    run("relay: start", _Leg(relay), legs)
    quiet = 0
    for number in itertools.count(1):
        files = tuple(f"{leg.directory}/rows.arrow" for leg in legs)
        if quiet == len(relay.steps):
            break
        legs = units(number, (number - 1) % len(relay.steps), [files] * count)
        run(f"relay: round {number}", _Leg(relay), legs)
        for path in files:  # of the round before: what made something of it is finished
            Path(path).unlink(missing_ok=True)
        quiet = 0 if any(_news(leg) for leg in legs) else quiet + 1
    for partition in range(count):
        yield from pieces(map_partition(files, partition, count))


def _news(leg: Leg) -> int:
    done = finished(Path(leg.directory), leg.fingerprint)
    assert done is not None
    return int(str(done["news"]))


def _spread(rows: pa.Table, partitions: int) -> list[pa.Table]:
    key = rows.column("key").to_numpy()
    place = (key % np.uint64(partitions)).astype(np.uint16)
    order = np.lexsort((key, place))
    edges = np.searchsorted(place[order], np.arange(partitions + 1))
    rows = rows.take(pa.array(order))
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
