"""Findings to check before the data is used: steps and sources that lose nearly everything, unusual rejects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dclm.documents.artifact import Artifact
from dclm.report.groups import Group

LOST_FRACTION = 0.95
"""A step or a source that loses more than this fraction of its input is suspicious."""
FEWER_THAN_EXPECTED = 0.5
"""… a source only if it also keeps less than this fraction of the number predicted by the rate of the whole pool."""
MIN_DOCUMENTS = 20
"""Fewer documents may be due to chance: they raise no alarm for a step or a source."""
MIN_EXPECTED = 5
"""A source with a lower expected number of kept documents raises no alarm."""
REJECTED_FRACTION = 0.1
"""More rejects than this fraction of a step's or a source's records is a spike …"""
MORE_REJECTS = 3
"""… a source's only if it is also this many times the fraction of the whole pool."""
RULES = (
    f"A step raises an alarm if it drops more than {LOST_FRACTION:.0%} of at least {MIN_DOCUMENTS} documents or rejects"
    f" more than {REJECTED_FRACTION:.0%} of them; a file or a domain of at least {MIN_DOCUMENTS} records if it loses"
    f" more than {LOST_FRACTION:.0%}, keeps less than {FEWER_THAN_EXPECTED:.0%} of the number that the pool's rate "
    "predicts,"
    f" and that is {MIN_EXPECTED} documents or more; or if it has more than {REJECTED_FRACTION:.0%} rejects and"
    f" {MORE_REJECTS} times the pool's fraction of rejects."
)
"""The rules in words, for the page."""


def step_alarms(artifact: Artifact) -> Iterator[str]:
    """Alarms about steps and about the artifact as a whole."""
    if artifact.record.missing:
        yield f"incomplete: {len(artifact.record.missing)} damaged inputs, first: {artifact.record.missing[0]}"
    if artifact.count("kept") == 0:
        yield "no document was kept"
    for step in artifact.steps:
        if step.documents_in < MIN_DOCUMENTS:
            continue
        name = f"step {step.index}, {step.name}," if step.index >= 0 else "the reader"
        if step.dropped > LOST_FRACTION * step.documents_in:
            yield f"{name} drops {_share(step.dropped, step.documents_in)}"
        if step.rejected > REJECTED_FRACTION * step.documents_in:
            yield f"{name} rejects {_share(step.rejected, step.documents_in)}"


def source_alarms(what: str, groups: Sequence[Group], artifact: Artifact) -> Iterator[str]:
    """Alarms about files or domains, for which `groups` has counts."""
    read = artifact.count("read")
    kept_share, rejected_share = artifact.count("kept") / read, artifact.count("rejected") / read
    for group in groups:
        if group.read < MIN_DOCUMENTS:
            continue
        expected = kept_share * group.read
        fewer = group.kept < FEWER_THAN_EXPECTED * expected and expected >= MIN_EXPECTED
        if group.lost > LOST_FRACTION * group.read and fewer:
            yield f"{what} {group.key} loses {_share(group.lost, group.read)}; {expected:,.0f} kept were expected"
        share = group.rejected / group.read
        if share > REJECTED_FRACTION and share > MORE_REJECTS * rejected_share:
            yield f"{what} {group.key} has many rejects: {_share(group.rejected, group.read)}"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})"
