"""`dclm evaluate --audit`: check the tasks without a model."""

from __future__ import annotations

import json
from pathlib import Path

from dclm.cli.shared.options import put_result
from dclm.core.errors import ConfigError
from dclm.core.stages.ownership import claim_folder
from dclm.core.stores import store
from dclm.core.stores.store import join
from dclm.eval.audit import NOTABLE, Audit, audit
from dclm.eval.suite import load_suite, suite_of


def print_audit(suite: str | None, labels: tuple[str, ...], out: Path | str | None) -> None:
    """Print the table, and write DIR/audit.json where `out` is given.

    Raises: ConfigError unless exactly one of suite and tasks is given.
    """
    if (suite is None) == (not labels):
        what = "found both or neither of suite and tasks, allowed: one of them"
        raise ConfigError("evaluate --audit", what, "pass --suite extended")
    if out is not None:
        claim_folder(out, "audit", known=("audit.json",))
    found = audit(load_suite(suite) if suite is not None else suite_of(labels))
    if out is not None:
        store.put(join(out, "audit.json"), (json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    put_result(found.to_json(), lambda: _table(found))


def _table(found: Audit) -> str:
    lines = [
        f"{'task':34}{'items':>7}{'guess':>8}{'first':>8}{'constant':>10}{'v1':>7}{'v2':>7}{'beyond v2':>11}  answer"
    ]
    for label, task in found.tasks.items():
        guess, first = ("" if value is None else f"{value:.3f}" for value in (task.uniform, task.first))
        mark = "" if abs(task.excess) < NOTABLE else " *"
        lines.append(
            f"{label:34}{task.n:7}{guess:>8}{first:>8}{task.constant.accuracy:10.3f}{task.baseline.v1:7.3f}"
            f"{task.baseline.v2:7.3f}{task.excess:+9.3f}{mark:2}  {task.constant.answer[:24]!r}"
        )
    for name, means in (("CORE", found.means.core), ("EXTENDED", found.means.extended)):
        if means.v1 is not None and means.v2 is not None:
            lines.append(f"constant answers would score {name} v1 {means.v1:.4f}, v2 {means.v2:.4f}")
    lines.append(f"* differs from baseline v2 by {NOTABLE} or more; the published baselines are not changed")
    lines += [f"missing: {label}: {reason}" for label, reason in found.missing.items()]
    return "\n".join(lines)
