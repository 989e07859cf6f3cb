"""`dclm score`: evaluate a quality model or a score column by labels, length, domain and source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, put_result, say


@click.command()
@click.argument("model", type=LOCAL_PATH)
@click.argument("labels", nargs=-1, metavar="[LABELS]...")
@click.option("--positive", default="__label__hq", show_default=True, help="The model's label of the positive class.")
@click.option("--curve", is_flag=True, help="Print the whole precision-recall curve instead, one line per point.")
@click.option("--picture", type=LOCAL_PATH, help="Write precision-recall, ROC and calibration curves as SVG.")
@click.option("--column", help="Judge this column of MODEL, which must then be an output of `dclm curate`.")
@click.option("--against", metavar="COLUMN", help="With --column: compare with another column.")
@click.option("--lower-is-better", is_flag=True, help="With --column: low values are good, as for perplexity.")
@force_option
def score(
    model: Path,
    labels: tuple[str, ...],
    positive: str,
    curve: bool,
    picture: Path | None,
    column: str | None,
    against: str | None,
    lower_is_better: bool,
    force: bool,
) -> None:
    """Evaluate MODEL (a fastText file or a classifier artifact) on the documents of LABELS, taken together.

    LABELS are JSONL files with `text` and `label` (1: good). Prints JSON: accuracy, ROC-AUC, average precision,
    calibration; or one line per point of the precision-recall curve.

    With --column, MODEL is a documents artifact, and the scores in that column are judged by source, domain, length and
    every label, with an alarm if they merely sort by one of these; against LABELS, matched by text, with 95 %
    intervals; and against a second column, with the documents on which the two differ most.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.report.pictures.curve import draw_curves
    from dclm.report.scores import column_curve, judge_column
    from dclm.select.classifier.score import judge

    if column is not None:
        if not labels and (curve or picture is not None):
            raise click.UsageError("--curve and --picture need LABELS")
    elif not labels:
        raise click.UsageError("give LABELS, or --column to judge a column of a documents artifact")
    elif against is not None or lower_is_better:
        raise click.UsageError("--against and --lower-is-better need --column")
    if picture is not None:
        claim_file(picture, [model, *labels], force=force)
    found: Mapping[str, object] | None = None
    if column is None:
        judgment = judge(model, labels, positive)
        found = judgment.summary
    else:
        if curve or picture is not None:
            judgment = column_curve(model, column, labels, lower_is_better)
        if not curve:
            found = judge_column(model, column, labels, against, lower_is_better)
            for alarm in found["alarms"]:
                say(f"alarm: {alarm}")
    if picture is not None:
        title = column or model.name
        write_atomic(picture, draw_curves(judgment.summary, judgment.curve, title).encode("utf-8", "replace"))
        say(f"{picture}")
    if curve:
        put_result(judgment.curve, lambda: "\n".join(map(json.dumps, judgment.curve)))
    else:
        put_result(found, lambda: json.dumps(found, indent=1, ensure_ascii=False))
