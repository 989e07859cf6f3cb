"""`dclm convert-pipeline`: DCLM's own pipeline YAML into ours."""

from __future__ import annotations

import sys

import click

from dclm.cli.options import visible
from dclm.core.errors import ConfigError
from dclm.curate.convert import convert_pipeline as convert


@click.command("convert-pipeline")
@click.argument("file", type=click.Path())
@click.option("--source", help="Which of the file's sources, where there are several.")
@click.option("--partial", is_flag=True, help="Write what can be expressed, with the rest named in comments.")
def convert_pipeline(file: str, source: str | None, partial: bool) -> None:
    """Turn FILE, a pipeline of DCLM's baselines, into a pipeline of ours on stdout."""
    conversion = convert(file, source)
    if conversion.problems and not partial:
        raise ConfigError(*conversion.problems[0], others=conversion.problems[1:])
    sys.stdout.write(visible(conversion.as_yaml()))
