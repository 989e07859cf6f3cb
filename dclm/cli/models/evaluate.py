"""`dclm evaluate` and `dclm aggregate`: score a model; compute CORE and EXTENDED from task accuracies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dclm.cli.shared.options import (
    ADDRESS,
    LOCAL_PATH,
    ConsoleProgress,
    engine_options,
    put_result,
    replace_option,
    say,
    wait_option,
)
from dclm.core.errors import ConfigError, DataError
from dclm.eval.aggregate import aggregate as aggregate_scores
from dclm.eval.aggregate import centred


@click.command()
@click.argument("model", required=False)
@click.option("--suite", help="core, extended, mmlu, light, or another file of eval_suite/suites.")
@click.option("--tasks", help="Labels of tasks (or lm-eval:NAME), separated by commas, instead of a suite.")
@click.option(
    "--include-path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with additional lm-eval task files, for lm-eval:NAME.",
)
@click.option(
    "--perplexity",
    metavar="NAMES",
    help="Also measure bits per byte on these texts, separated by commas: sample, wikitext2, openstax.",
)
@click.option("--limit", type=click.IntRange(1), help="Use only the first N rows of each task (of each category).")
@click.option("--out", type=ADDRESS, help="Directory for the scores.")
@click.option(
    "--audit",
    is_flag=True,
    help="Without a model: show the scores of constant answers, next to the published baselines.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 …")
@click.option("--dtype", default="float32", show_default=True, help="Precision of the weights; scores are float32.")
@click.option("--batch-tokens", type=click.IntRange(1), help="Maximum number of tokens per forward pass.")
@click.option("--window", type=click.IntRange(2), help="Maximum length of a text in tokens. [default: the model's own]")
@click.option("--name", help="Name of the result on boards. [default: the model's]")
@engine_options
@replace_option
@wait_option
def evaluate(
    model: str | None,
    suite: str | None,
    tasks: str | None,
    include_path: Path | None,
    perplexity: str | None,
    limit: int | None,
    out: str | None,
    audit: bool,
    device: str,
    dtype: str,
    batch_tokens: int | None,
    window: int | None,
    name: str | None,
    on: str,
    workers: int | None,
    force: bool,
    wait: bool,
) -> None:
    """Score MODEL on a suite of tasks.

    MODEL is a checkpoint, a training run, an open_lm file FILE.pt, hf:DIRECTORY, gguf:FILE, or one of lm-eval's models:
    lm-eval:KIND,key=value,… (as in lm-eval:hf,pretrained=DIRECTORY).

    OUT/result.json can be uploaded to a board, which shows it as an evaluation only: apart from runs whose data and
    training are known.
    """
    from dclm.cli.models.audit import print_audit
    from dclm.core.stores.store import join, local_file
    from dclm.engine import open_engine
    from dclm.eval.run.plan import workers_that_fit
    from dclm.eval.run.stage import evaluate as run
    from dclm.recipe.evaluation import write_evaluation

    labels, texts = _names(tasks), _names(perplexity)
    if audit:
        print_audit(suite, labels, out)
        return
    if model is None or out is None:
        raise ConfigError(
            "evaluate", "MODEL and --out are required", "or pass --audit for the checks that need no model"
        )
    if workers is None and on == "local":
        workers = workers_that_fit(model)
    with open_engine(on, workers) as engine:
        run(
            model,
            out,
            suite=suite,
            tasks=labels,
            perplexity=texts,
            limit=limit,
            device=device,
            dtype=dtype,
            batch_tokens=batch_tokens,
            window=window,
            engine=engine,
            progress=ConsoleProgress(),
            say=say,
            wait=wait,
            force=force,
            include_path=include_path,
        )
    written = write_evaluation(out, name or model.rstrip("/").rpartition("/")[2], model)
    if written is not None:
        say(f"result: {written} (evaluation only; `dclm board upload` sends it to a board)")
    scores = json.loads(local_file(join(out, "scores.json")).read_text(encoding="utf-8"))
    put_result(scores, lambda: scores_table(scores))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def scores_table(scores: dict[str, Any]) -> str:
    from dclm.eval.kinds.registry import KINDS

    heads = f"{'task':33}{'n':>7}{'shots':>6}{'metric':>10}{'raw':>8}{'centered':>9}{'± error':>8}{'bits/byte':>10}"
    lines = [heads]
    for label, task in scores["tasks"].items():
        accuracy, baseline = task["accuracy"], task["baseline"]["v2"]
        bits = (task["continuous"]["bits_per_byte"] or {}).get("value")
        lines.append(
            f"{label:33}{task['n']:7}{task['num_fewshot']:6}{KINDS[task['kind']].metric:>10}{accuracy:8.4f}"
            f"{centred(accuracy, baseline):9.4f}{_number(task['standard_error']):>8}{_number(bits):>10}"
        )
    for name in ("core_v2", "extended_v2"):
        mean = f"{_number(scores[name]):>9}{_number(scores[f'{name}_standard_error']):>8}"
        lines.append(f"{name.removesuffix('_v2').upper():64}{mean}")
    bits, error = scores["core_bpb"], scores["core_bpb_standard_error"]
    lines.append(f"{'bits per byte of the right answers, CORE':56}{_number(bits):>8}{'':9}{_number(error):>8}")
    for name, text in scores.get("perplexity", {}).items():
        bits, error = text["bits_per_byte"], text["standard_error"]
        lines.append(f"{f'bits per byte, {name}':56}{bits:8.4f}{'':9}{_number(error):>8}")
    missing = scores["reasons"]
    lines += [f"missing: {label}: {reason}" for label, reason in missing.items()]
    if scores["limited"] is not None:
        lines.append(f"limited to the first {scores['limited']} rows of each task: not comparable with full scores")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """A dash for an unknown value."""
    return "—" if value is None else f"{value:.4f}"


@click.command()
@click.argument("scores", type=LOCAL_PATH)
def aggregate(scores: Path) -> None:
    """Print CORE, EXTENDED and group means of SCORES as JSON on stdout.

    SCORES is a JSON file: `{"task": accuracy, …}`, or the scores.json that `dclm evaluate` writes.
    """
    accuracies, limited = _accuracies(scores)
    value = {**aggregate_scores(accuracies).to_json(), "limited": limited}
    put_result(value, lambda: json.dumps(value, indent=1))


def _accuracies(path: Path) -> tuple[dict[str, float], int | None]:
    """The accuracies, and the number of rows per task that they were limited to."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"not JSON: {error}", 'allowed: {"task": accuracy, …}') from None
    if not isinstance(found, dict):
        raise DataError(str(path), f"found {type(found).__name__}", 'allowed: {"task": accuracy, …}')
    if isinstance(found.get("tasks"), dict):
        return {label: _accuracy(path, label, score) for label, score in found["tasks"].items()}, found.get("limited")
    return {label: value for label, value in found.items() if value is not None}, None


def _accuracy(path: Path, label: str, score: object) -> float:
    if not isinstance(score, dict) or "accuracy" not in score:
        raise DataError(str(path), f"task {label}: found {score!r:.60}, allowed: an object with `accuracy`")
    accuracy: float = score["accuracy"]
    return accuracy
