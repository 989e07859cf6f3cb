"""`dclm board`: check, upload and show results, and serve a board."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dclm.board.exchange import from_dclm, to_dclm
from dclm.board.page import export_site
from dclm.board.rank import rank
from dclm.board.result import MAX_RESULT_BYTES, Result, load_json, parse_result, write_result
from dclm.board.upload import TOKEN_VARIABLE, fetch_results
from dclm.board.upload import upload as send
from dclm.board.validate import validate
from dclm.cli.options import plain
from dclm.core.errors import ConfigError, DclmError
from dclm.core.storage import open_input, write_atomic


@click.group()
def board() -> None:
    """Results and leaderboards."""


@board.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Check result.json files: schema, means, chain. Names every problem of every file."""
    failed: list[DclmError] = []
    for file in files:
        try:
            with open_input(file) as handle:
                result = validate(handle.read(MAX_RESULT_BYTES + 1), file)
        except DclmError as error:
            failed.append(error)
        else:
            print(f"{file}: in order, {len(result.scores)} tasks, CORE {_percent(result.core_v2)}, id {result.id}")
    if failed:
        problems = [problem for error in failed for problem in error.problems]
        raise type(failed[0])(*problems[0], others=problems[1:])


@board.command()
@click.argument("file")
@click.option(
    "--to", required=True, metavar="DIR|URL", help="A directory, an fsspec URL, or a board's http(s) address."
)
def upload(file: str, to: str) -> None:
    """Check FILE and send it to a board. A board server wants its token in DCLM_BOARD_TOKEN."""
    receipt = send(file, to)
    print(f"{receipt.where} ({'new' if receipt.created else 'was there already'})")


@board.command()
@click.argument("place", metavar="DIR|URL|DATABASE")
@click.option("--scale", help="Only results of this scale.")
def table(place: str, scale: str | None) -> None:
    """Print the leaderboard of a directory, an fsspec URL, a board server or its database."""
    results = [r for r in fetch_results(place) if scale is None or r.training.scale == scale]
    Console(width=None if sys.stdout.isatty() else 160).print(result_table(results))


@board.command()
@click.argument("place", metavar="DIR|URL|DATABASE")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory for index.html.")
def site(place: str, out: Path) -> None:
    """Write the leaderboard as a static page with all results beside it."""
    print(export_site(fetch_results(place), out))


@board.command()
@click.argument("file")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
def convert(file: str, out: Path) -> None:
    """Turn an evaluation file of DCLM's leaderboard into a result, or a result into such a file."""
    with open_input(file) as handle:
        data = handle.read(MAX_RESULT_BYTES + 1)
    value = load_json(data, file)
    if isinstance(value, dict) and "eval_metrics" in value:
        write_result(out, from_dclm(value, file))
    else:
        text = json.dumps(to_dclm(parse_result(data, file)), indent=4, ensure_ascii=False)
        write_atomic(out, f"{text}\n".encode())
    print(out)


@board.command()
@click.option("--db", required=True, type=click.Path(path_type=Path), help="SQLite file; made where there is none.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
def serve(db: Path, host: str, port: int) -> None:
    """Serve a board. It takes results from those who know the token in DCLM_BOARD_TOKEN; without one, from nobody."""
    import uvicorn

    from dclm.board.server import make_app

    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and len(token) < 16:
        raise ConfigError(TOKEN_VARIABLE, "the token is shorter than 16 characters", "openssl rand -hex 32")
    uvicorn.run(make_app(db, token), host=host, port=port, log_level="warning")


def result_table(results: list[Result]) -> Table:
    """The leaderboard for a terminal, best first."""
    table = Table(title="Leaderboard", title_justify="left")
    table.add_column("Name", overflow="fold")
    for label in ("Scale", "CORE", "EXTENDED", "Tasks", "Val. loss", "Params", "Tokens", "FLOPs", "Notes"):
        table.add_column(label, justify="left" if label in ("Scale", "Notes") else "right")
    for result in rank(results):
        training = result.training
        table.add_row(
            escape(plain(result.name)),
            escape(plain(training.scale)),
            _percent(result.core_v2, result.core_v2_stderr),
            _percent(result.extended_v2),
            str(len(result.scores)),
            _number(training.validation_loss, "{:.4f}"),
            _number(training.params, "{:,}"),
            _number(training.tokens, "{:,}"),
            _number(training.flops, "{:.2e}"),
            _notes(result),
        )
    return table


def _percent(value: float | None, stderr: float | None = None) -> str:
    return "—" if value is None else f"{100 * value:.2f}" + (f" ± {100 * stderr:.2f}" if stderr else "")


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else form.format(value)


def _notes(result: Result) -> str:
    notes = []
    if result.missing:
        notes.append(f"{len(result.missing)} tasks missing")
    if result.limited is not None:
        notes.append(f"≤ {result.limited} items a task")
    if result.incomplete:
        notes.append("incomplete data")
    if result.imported is not None:
        notes.append("imported")
    return ", ".join(notes)
