"""`dclm classifier`: train fastText quality classifiers, and judge them against labelled documents."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dclm.cli.options import ConsoleProgress, say


@click.group()
def classifier() -> None:
    """Train and judge fastText quality classifiers."""


@classifier.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of the classifier artifact.")
def train(spec: Path, out: Path) -> None:
    """Train the classifier that the YAML file SPEC declares. Its paths are relative to the file."""
    from dclm.classifier.spec import ClassifierSpec
    from dclm.classifier.train import train_classifier
    from dclm.config import build, load_yaml
    from dclm.recipe import resolve_path

    declared = build(ClassifierSpec, load_yaml(spec)).with_paths(lambda path: resolve_path(path, spec.parent))
    counts = train_classifier(declared, out, ConsoleProgress()).counts
    held_out = counts["held_out"]
    assert isinstance(held_out, dict)
    say(f"{out}: {counts['train_positives']:,} positives, {counts['train_negatives']:,} negatives")
    if held_out["roc_auc"] is not None:
        shown = ", ".join(f"{name} {held_out[name]:.4f}" for name in ("accuracy", "roc_auc", "calibration_error"))
        say(f"held out {held_out['documents']:,}: {shown}")


@classifier.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("labelled")
@click.option("--positive", default="__label__hq", show_default=True, help="The model's label of the positive class.")
@click.option("--curve", is_flag=True, help="Print the whole precision-recall curve instead of a summary.")
def score(model: Path, labelled: str, positive: str, curve: bool) -> None:
    """Judge MODEL (a fastText file or a classifier artifact) against LABELLED.

    LABELLED is JSONL with `text` and `label` (1: good). Prints JSON: accuracy, ROC-AUC, average precision,
    calibration; or one line for each point of the precision-recall curve.
    """
    from dclm.classifier.score import judge

    judgement = judge(model, labelled, positive)
    if curve:
        for point in judgement.curve:
            print(json.dumps(point))
    else:
        print(json.dumps(judgement.summary, indent=1))
