"""`dclm contamination`: how many items of the tasks occur in the training documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, put_result
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.eval.contamination import Contamination


@click.command()
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENTS...", type=LOCAL_PATH)
@click.option("--suite", help="core, extended, mmlu, light, or another file of eval_suite/suites.")
@click.option("--tasks", help="Labels of tasks, separated by commas, instead of a suite.")
@click.option("--scores", type=LOCAL_PATH, help="Scores of a model, to report its accuracy on the clean items.")
@click.option(
    "--ngram",
    type=click.IntRange(1),
    default=13,
    show_default=True,
    help="Number of consecutive words that must match.",
)
@click.option("--allow-incomplete", is_flag=True, help="Accept documents with missing parts.")
@click.option("--out", type=LOCAL_PATH, help="Also write the numbers to this JSON file.")
@force_option
def contamination(
    documents: tuple[Path, ...],
    suite: str | None,
    tasks: str | None,
    scores: Path | None,
    ngram: int,
    allow_incomplete: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Report, for each task, how many of its items occur in DOCUMENTS (artifacts of `dclm curate`)."""
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.eval.contamination import contamination as run
    from dclm.eval.suite import load_suite, suite_of

    labels = tuple(name.strip() for name in (tasks or "").split(",") if name.strip())
    if (suite is None) == (not labels):
        raise ConfigError(
            "contamination", "found both or neither of suite and tasks, allowed: one of them", "pass --suite core"
        )
    chosen = load_suite(suite) if suite is not None else suite_of(labels)
    if out is not None:
        claim_file(out, force=force)
    found = run(documents, chosen, scores=scores, ngram=ngram, allow_missing=allow_incomplete)
    if out is not None:
        write_atomic(out, (json.dumps(found.to_json(), indent=1) + "\n").encode())
    put_result(found.to_json(), lambda: _table(found))


def _table(found: Contamination) -> str:
    lines = [f"{'task':36}{'items':>7}{'occur':>7}{'percent':>9}{'too short':>11}{'accuracy':>10}{'clean':>9}"]
    for label, task in found.tasks.items():
        scored = "".join(
            f"{'' if v is None else f'{v:.4f}':>{w}}" for v, w in ((task.accuracy, 10), (task.clean_accuracy, 9))
        )
        lines.append(f"{label:36}{task.n:7}{task.contaminated:7}{100 * task.fraction:9.2f}{task.short:11}{scored}")
    lines.append(f"in {found.documents:,} documents, matching {found.ngram} consecutive words")
    lines += [f"missing: {label}: {reason}" for label, reason in found.missing.items()]
    return "\n".join(lines)
