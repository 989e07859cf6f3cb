"""`dclm classifier`: train fastText quality classifiers. `dclm score` evaluates them."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import LOCAL_PATH, ConsoleProgress, env_option, put_artifact, replace_option, say


@click.group()
def classifier() -> None:
    """Train fastText classifiers."""


@classifier.command()
@click.argument("spec", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory for the classifier artifact.")
@env_option
@replace_option
def train(spec: Path, out: Path, variables: tuple[str, ...], force: bool) -> None:
    """Train the classifier that the YAML file SPEC declares. Its paths are relative to the file."""
    from dclm.core.config import build, load_yaml
    from dclm.recipe.recipe import resolve_path
    from dclm.select.classifier.spec import ClassifierSpec
    from dclm.select.classifier.train import describe, train_classifier

    read = build(ClassifierSpec, load_yaml(spec))
    declared = read.with_paths(lambda path: resolve_path(path, spec.parent, variables))
    record = train_classifier(declared, out, ConsoleProgress(), force=force)
    say(f"{out}: {describe(record.counts)}")
    put_artifact(out, record)
