"""Duplicates between the sources of a recipe: one deduplication of what all pipelines kept, before tokens are made.

The artifact OUT/across holds the documents of all sources, best source first. Each of its shards belongs to one source,
and the column `source_name` says to which.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from dclm.core.record import Record, read_record, require_complete
from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import Progress
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import Origin, curate
from dclm.documents.overlaps import COUNTS, Overlaps, count_overlaps, read_overlaps
from dclm.pool.files import InputFile, list_files
from dclm.recipe.layout import Layout
from dclm.recipe.recipe import DedupAcross, Recipe
from dclm.tokens.documents import SourcePart

NAME = "across"
ROLE = "documents "
"""Start of the role of a source's documents in the record's inputs."""


def in_order(rule: DedupAcross, names: Sequence[str]) -> list[str]:
    """The sources, best first: those of `prefer`, then the others in the order of the recipe."""
    return [*rule.prefer, *(name for name in names if name not in rule.prefer)]


def dedup_across(
    recipe: Recipe,
    layout: Layout,
    engine: Engine,
    progress: Progress,
    say: Callable[[str], None],
    force: bool = False,
) -> list[Record]:
    """Deduplicate the documents of all sources together into OUT/across, or reuse it; nothing without `dedup_across`.

    force: replace what an earlier version of the recipe made. Raises: the errors of `curate`; IncompleteError if the
    documents of a source lack parts that the recipe needs.
    """
    rule = recipe.dedup_across
    if rule is None:
        return []
    names = in_order(rule, [source.name for source in recipe.data])
    records = {name: read_record(layout.documents(name)) for name in names}
    files = [file for name in names for file in _files(name, layout.documents(name), records[name])]
    owner = [names.index(file.source_name) for file in files]

    def count(out: str, record: Record) -> Mapping[str, object]:
        ledgers = [entry.path for entry in record.files if entry.path.startswith("ledger/")]
        return {COUNTS: count_overlaps(out, ledgers, owner, names).to_json()}

    origin = Origin(
        inputs={f"{ROLE}{name}": record.fingerprint for name, record in records.items()},
        digests={f"{ROLE}{name}": record.digest for name, record in records.items()},
        count=count,
    )
    bound = bind(Pipeline(name=NAME, steps=rule.steps))
    options = CurateOptions(seed=recipe.seed, unit_bytes=0, shard_bytes=0)  # so that each shard is of one source
    record = curate(bound, files, layout.across, options, engine, progress, say=say, force=force, origin=origin)
    found = read_overlaps(record)
    assert found is not None
    for line in overlap_lines(found):
        say(line)
    return [require_complete(layout.across, "documents", recipe.allow_incomplete)]


def _files(name: str, address: str, record: Record) -> list[InputFile]:
    """The documents of a source, under names that do not depend on where it is."""
    found = {f"documents/{file.name}": file for file in list_files([address])}
    return [
        dataclasses.replace(found[path], name=f"{name}/{found[path].name}", source_name=name)
        for path in _documents(record)
    ]


def overlap_lines(overlaps: Overlaps) -> list[str]:
    """What was found, one line per source."""
    lines = []
    for row, name in enumerate(overlaps.sources):
        dropped, total = sum(overlaps.dropped[row]), overlaps.documents[row]
        parts = [
            f"{overlaps.share(row, column):.1%} also in {other}"
            for column, other in enumerate(overlaps.sources)
            if column != row and overlaps.found[row][column]
        ]
        also = f" ({', '.join(parts)})" if parts else ""
        lines.append(f"across {name}: {total:,} documents, dropped {dropped:,}{also}")
    return lines


def training_documents(layout: Layout, names: Sequence[str]) -> list[str | SourcePart]:
    """What tokens are made from, for each of the sources: its documents, or what OUT/across kept of them."""
    if layout.loaded.recipe.dedup_across is None:
        return [layout.documents(name) for name in names]
    record = read_record(layout.across)
    found = read_overlaps(record)
    assert found is not None
    paths = iter(_documents(record))
    parts = {
        name: tuple(itertools.islice(paths, number)) for name, number in zip(found.sources, found.files, strict=True)
    }
    return [SourcePart(layout.across, name, parts[name]) for name in names]


def _documents(record: Record) -> list[str]:
    return [entry.path for entry in record.files if entry.path.startswith("documents/")]
