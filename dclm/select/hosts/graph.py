"""Ranks of hosts from a pool's own links: the graph of hosts, and PageRank on it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import strings, to_list
from dclm.core.config import Range
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record, canonical
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.select.artifact import make_artifact
from dclm.select.classifier.spec import TextSource
from dclm.select.hosts.table import HOST, reversed_hosts
from dclm.text.hosts import hosts

RANKS = "ranks.tsv"
MAX_ITERATIONS = 1000
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_LINK = re.compile(rb"""<a\s[^>]{0,2000}?href\s*=\s*["']?\s*((?:https?:)?//[^"'\s<>/?#]{1,300})""", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostGraphSpec:
    """PageRank of the hosts of a pool of WARC files, from the links of its pages. One process holds the graph."""

    version = 1

    pages: tuple[str, ...]
    """Files, directories or globs of WARC."""
    damping: Annotated[float, Range(0.0, 0.99)] = 0.85
    tolerance: Annotated[float, Range(1e-15, 1e-2)] = 1e-10
    """The ranks have converged once the changes of a round add up to less than this."""

    def with_paths(self, path_of: Callable[[str], str]) -> HostGraphSpec:
        """The same with every path replaced, for example by its location on this machine."""
        return dataclasses.replace(self, pages=tuple(map(path_of, self.pages)))


def rank_hosts(spec: HostGraphSpec, out: Path | str, *, force: bool = False) -> Record:
    """Make the artifact at `out`: ranks.tsv, in the format of Common Crawl's files, and record.json.

    Every host that has a page or is linked to is ranked. Links between the pages of a host, and repeated links between
    two hosts, do not count, as in Common Crawl's host graph.
    Raises: ConfigError if the files do not contain pages; DataError if no host is found.
    """
    config = canonical(spec.with_paths(lambda path: ""))
    assert isinstance(config, dict)

    missing: list[str] = []

    def fit(directory: Path) -> dict[str, object]:
        names, sources, targets = host_graph(spec.pages, missing)
        if not len(names):
            raise DataError("pages", "found no page with a host", "check the files")
        rank, rounds = pagerank(len(names), sources, targets, spec.damping, spec.tolerance)
        order = np.lexsort((np.array(names.to_pylist()), -rank))
        rows = names.take(order).to_pylist()
        with (directory / RANKS).open("w", encoding="utf-8", newline="\n") as file:
            file.write(f"#pr_pos\t#pr_val\t#{HOST}\n")
            for position, (name, value) in enumerate(zip(rows, rank[order].tolist(), strict=True), 1):
                file.write(f"{position}\t{value:.9e}\t{name}\n")
        return {"hosts": len(names), "links": len(sources), "rounds": rounds}

    pages = [TextSource(path=path) for path in spec.pages]
    return make_artifact(out, "model", config, {"pages": pages}, fit, missing=missing, force=force)


def host_graph(pages: tuple[str, ...], missing: list[str]) -> tuple[pa.StringArray, Ints, Ints]:
    """Names of the hosts (reversed, sorted), and the links between their indices, each pair once.

    missing: gets a line for everything that could not be read.
    Raises: ConfigError if the files contain text instead of pages.
    """
    known: dict[str, int] = {}
    pairs: set[tuple[int, int]] = set()
    for sources, targets in _links(pages, missing):
        own = [known.setdefault(name, len(known)) for name in to_list(reversed_hosts(sources))]
        for source, linked in zip(own, targets, strict=True):
            for name in reversed_hosts(hosts(pa.array(sorted(linked), pa.string()))).to_pylist():
                if name is not None:
                    target = known.setdefault(name, len(known))
                    if target != source:
                        pairs.add((source, target))
    names = sorted(known)
    place = np.empty(len(known), np.int64)
    place[[known[name] for name in names]] = np.arange(len(names))
    edges = place[np.array(sorted(pairs), np.int64).reshape(-1, 2)]
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    return pa.array(names, pa.string()), edges[:, 0], edges[:, 1]


def _links(pages: tuple[str, ...], missing: list[str]) -> Iterator[tuple[pa.StringArray, list[set[str]]]]:
    """Batches of the host of each page, and the addresses that it links to."""
    for file in list_files(list(pages)):
        tally = Tally()
        for batch in read_file(file, tally):
            if "body" not in batch.schema.names:
                raise ConfigError(file.path, "contains text, allowed: WARC files of pages")
            own = hosts(strings(batch.column("url")))
            batch = batch.filter(own.is_valid())
            bodies = batch.column("body").to_pylist()
            targets = [
                {link.decode("utf-8", "replace") for link in _LINK.findall(body)} if body else set() for body in bodies
            ]
            yield own.filter(own.is_valid()), targets
        missing += [f"{file.name}: {damage}" for damage in tally.damage]


def pagerank(count: int, sources: Ints, targets: Ints, damping: float, tolerance: float) -> tuple[Floats, int]:
    """Rank of each of `count` nodes (their sum is 1), and the number of rounds.

    A random surfer follows a link with probability `damping` and else goes anywhere; from a node without links, always.
    Raises: DataError if the ranks have not settled after MAX_ITERATIONS rounds.
    """
    degree = np.bincount(sources, minlength=count)
    share = 1 / np.maximum(degree, 1)
    dangling = degree == 0
    rank = np.full(count, 1 / count)
    for number in range(1, MAX_ITERATIONS + 1):
        flow = np.bincount(targets, (rank * share)[sources], count)
        new = damping * (flow + rank[dangling].sum() / count) + (1 - damping) / count
        change = float(np.abs(new - rank).sum())
        rank = new
        if change < tolerance:
            return rank, number
    raise DataError("PageRank", f"the ranks still change by {change:g} after {MAX_ITERATIONS} rounds", "lower damping")
