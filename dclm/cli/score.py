"""`dclm score`: evaluate a quality model on human labels."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dclm.cli.options import LOCAL_PATH, force_option, put, say


@click.command()
@click.argument("model", type=LOCAL_PATH)
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...")
@click.option("--positive", default="__label__hq", show_default=True, help="The model's label of the positive class.")
@click.option("--curve", is_flag=True, help="Print the whole precision-recall curve instead, one line per point.")
@click.option("--picture", type=LOCAL_PATH, help="Write precision-recall, ROC and calibration curves as SVG.")
@force_option
def score(model: Path, labels: tuple[str, ...], positive: str, curve: bool, picture: Path | None, force: bool) -> None:
    """Evaluate MODEL (a fastText file or a classifier artifact) on the documents of LABELS, taken together.

    LABELS are JSONL files with `text` and `label` (1: good). Prints JSON: accuracy, ROC-AUC, average precision,
    calibration; or one line per point of the precision-recall curve.
    """
    from dclm.core.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.report.pictures.curve import draw_curves
    from dclm.select.classifier.score import judge

    if picture is not None:
        claim_file(picture, [model, *labels], force=force)
    judgement = judge(model, labels, positive)
    if curve:
        for point in judgement.curve:
            put(json.dumps(point))
    else:
        put(json.dumps(judgement.summary, indent=1))
    if picture is not None:
        write_atomic(picture, draw_curves(judgement.summary, judgement.curve, model.name).encode("utf-8", "replace"))
        say(f"{picture}")
