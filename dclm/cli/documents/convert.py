"""`dclm convert-pipeline`: convert DCLM's own pipeline YAML to ours."""

from __future__ import annotations

import click
import yaml

from dclm.cli.shared.options import put_result
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
    text = conversion.as_yaml()
    problems = [{"where": each.where, "what": each.what} for each in conversion.problems]
    put_result({**yaml.safe_load(text), "notes": conversion.notes, "problems": problems}, text.rstrip("\n"))
