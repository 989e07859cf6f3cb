"""`dclm aggregate`: CORE and EXTENDED from the accuracies of tasks."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dclm.errors import DataError
from dclm.eval.aggregate import aggregate as aggregate_scores


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
def aggregate(scores: Path) -> None:
    """CORE, EXTENDED and group means of SCORES, as JSON on stdout.

    SCORES is a JSON file: `{"task": accuracy, …}`, or the scores.json that `dclm evaluate` writes.
    """
    print(json.dumps(aggregate_scores(_accuracies(scores)).to_json(), indent=1))


def _accuracies(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"not JSON: {error}", 'allowed: {"task": accuracy, …}') from None
    if not isinstance(found, dict):
        raise DataError(str(path), f"found {type(found).__name__}", 'allowed: {"task": accuracy, …}')
    if isinstance(found.get("tasks"), dict):
        return {label: score["accuracy"] for label, score in found["tasks"].items()}
    return {label: value for label, value in found.items() if value is not None}
