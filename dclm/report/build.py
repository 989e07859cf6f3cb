"""The content of the page about an artifact, gathered in a few passes over its ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, filled, joined, strings
from dclm.documents.artifact import Artifact, Rows
from dclm.documents.cuts import Measured, measured
from dclm.documents.samples import Sample, dropped_samples, kept_samples
from dclm.documents.tokens import TokenEstimate, estimate_tokens
from dclm.filters.rights.step import COLUMNS as RIGHTS
from dclm.report.ablation.passed import Passed, passed_samples
from dclm.report.alarms import source_alarms, step_alarms
from dclm.report.groups import Group, Groups, top
from dclm.report.pictures.histogram import Histogram, histograms
from dclm.report.scores import score_alarms
from dclm.text.hosts import hosts

TOP = 15
"""Number of rows per list."""
SHOWN_ALARMS = 20
"""Number of files and of domains shown."""
SILENT = "(nothing said)"
_LOOKED_AT = 10_000  # the largest groups are checked for alarms
_FILE = r"^(?P<file>.*)#[^#]*$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupTable:
    """Groups of records by one key."""

    title: str
    undercount: int
    """If above 0, rows may lack up to this many records (see `Groups`)."""
    distinct: int
    lists: Mapping[str, Sequence[Group]]
    """Heading → groups."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a report about a documents artifact; determined by the artifact's bytes and the tokenizer."""

    artifact: Artifact
    tokens: TokenEstimate | None
    alarms: tuple[str, ...]
    cuts: tuple[Measured, ...]
    histograms: tuple[Histogram, ...]
    tables: tuple[GroupTable, ...]
    kept: tuple[Sample, ...]
    dropped: Mapping[int, Sequence[Sample]]
    passed: Mapping[int, Sequence[Passed]]


def build_report(root: Path, tokenizer: str | None) -> Report:
    """Analyze the artifact at `root`; without a tokenizer, tokens are not estimated.

    Memory is bounded by a batch of the ledger, a row group of documents and the keys of `Groups`. Raises: ConfigError
    if it is not a documents artifact.
    """
    artifact = Artifact(root)
    words = [name for name, number in artifact.annotations().items() if not number]
    domains, files, reasons, rules = Groups(), Groups(), Groups(), Groups()
    values = {name: Groups() for name in words}
    for rows in artifact.rows("url", "source", "step", "rule", *words):
        domains.add(hosts(strings(pc.cast(rows.batch.column("url"), pa.string()))), rows)
        file = pc.extract_regex(pc.cast(rows.batch.column("source"), pa.string()), _FILE)
        files.add(pc.struct_field(file, "file"), rows)
        reason = pc.cast(rows.batch.column("reason"), pa.string())
        reasons.add(pc.replace_substring_regex(reason, "[0-9]{2,}", "N"), rows)
        rules.add(joined([rows.batch.column(c) for c in ("step", "rule")], ": "), rows)
        for name, groups in values.items():
            groups.add(_values(rows, name), rows)
    alarms = list(step_alarms(artifact))
    for what, groups in (("file", files), ("domain", domains)):
        largest = top(groups.table(), "read", _LOOKED_AT)
        alarms += list(source_alarms(what, largest, artifact))[:SHOWN_ALARMS]
    alarms += score_alarms(artifact)
    kept, dropped = kept_samples(artifact), dropped_samples(artifact)
    tables = [_table(name, groups, ("read",)) for name, groups in values.items()]
    tables += [_table("domain", domains, ("kept", "lost")), _table("file of the pool", files, ("lost",))]
    tables.append(_table("rule that dropped documents", rules, ("read",)))
    tables.append(_table("reason for rejection (N stands for long numbers)", reasons, ("read",)))
    return Report(
        artifact=artifact,
        tokens=None if tokenizer is None else estimate_tokens(tokenizer, artifact.steps, kept, dropped),
        alarms=tuple(alarms),
        cuts=tuple(measured(artifact)),
        histograms=tuple(histograms(artifact)),
        tables=tuple(tables),
        kept=tuple(kept),
        dropped=dropped,
        passed=passed_samples(artifact, kept, dropped),
    )


def _values(rows: Rows, name: str) -> Column:
    """A column of text. Pages that say nothing about their rights are counted too."""
    values = pc.cast(rows.batch.column(name), pa.string())
    return filled(values, SILENT) if name in RIGHTS else values


_HEADINGS = {"read": "most frequent", "kept": "most kept", "lost": "most lost"}


def _table(title: str, groups: Groups, orders: Sequence[str]) -> GroupTable:
    table = groups.table()
    lists = {_HEADINGS[order]: top(table, order, TOP) for order in orders}
    return GroupTable(title=title, undercount=groups.undercount, distinct=len(table), lists=lists)
