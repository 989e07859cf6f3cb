"""`dclm convert-pipeline`: convert DCLM's own pipeline YAML to ours."""

from __future__ import annotations

import sys

import click

from dclm.cli.options import visible
from dclm.core.errors import ConfigError
from dclm.curate.convert import convert_pipeline as convert


@click.command("convert-pipeline")
@click.argument("file", type=click.Path())
@click.option("--source", help="Which of the file's sources to convert, if it has several.")
@click.option("--partial", is_flag=True, help="Convert what can be expressed, and name the rest in comments.")
def convert_pipeline(file: str, source: str | None, partial: bool) -> None:
    """Convert FILE, a pipeline of DCLM's baselines, to a pipeline of ours on stdout."""
    conversion = convert(file, source)
    if conversion.problems and not partial:
        raise ConfigError(*conversion.problems[0], others=conversion.problems[1:])
    sys.stdout.write(visible(conversion.as_yaml()))
