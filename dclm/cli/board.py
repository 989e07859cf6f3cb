"""`dclm board`: check, upload and show results, and run a board server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.board.conform import MAX_RESULT_BYTES, load_json
from dclm.board.entry import Entry
from dclm.board.exchange import from_dclm, to_dclm
from dclm.board.fetch import SERVER, Fetched, fetch_entries
from dclm.board.known.published import make_published
from dclm.board.pages.explain import explain
from dclm.board.pages.listing import rows
from dclm.board.pages.page import export_site
from dclm.board.result import parse_result, write_result
from dclm.board.serving.rescore import rescore
from dclm.board.serving.store import KEEPER, ResultStore
from dclm.board.serving.submitters import MIN_TOKEN_LENGTH, Submitters
from dclm.board.tracks import rules
from dclm.board.upload import TOKEN_VARIABLE, items_of
from dclm.board.upload import remove as take_off
from dclm.board.upload import upload as send
from dclm.board.validate import validate
from dclm.cli.board_table import percent, result_table, some_published
from dclm.cli.shared.options import LOCAL_PATH, force_option, open_console, plain, put, put_result, say
from dclm.core.errors import ConfigError, DclmError
from dclm.core.stages.ownership import claim_file, claim_folder
from dclm.core.storage import open_input, write_atomic

database = click.option(
    "--db", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The board's SQLite file."
)

if TYPE_CHECKING:
    from dclm.board.serving.submitters import Submitter


@click.group()
def board() -> None:
    """Check, upload and show results, and run a leaderboard."""


@board.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Check result.json files: schema, means, chain, suite, items, scale. Reports every problem of every file.

    For each rule of the result's track, also reports whether it passed, failed, or cannot be checked, and why. If items
    are next to a result (scores/items.parquet, or NAME.items.parquet), scores are recomputed from them.
    """
    failed: list[DclmError] = []
    checked: list[tuple[str, Entry]] = []
    for file in files:
        try:
            with open_input(file) as handle:
                result = validate(handle.read(MAX_RESULT_BYTES + 1), file)
            items = items_of(file, result)
            entry = Entry(result=result, rescored=None if items is None else rescore(result, items))
        except DclmError as error:
            failed.append(error)
        else:
            checked.append((file, entry))
    put_result(
        [{"file": file, "id": entry.id, "rules": rules(entry)} for file, entry in checked],
        lambda: "\n".join(line for file, entry in checked for line in _checked(file, entry)),
    )
    if failed:
        problems = [problem for error in failed for problem in error.problems]
        raise type(failed[0])(*problems[0], others=problems[1:])


def _checked(file: str, entry: Entry) -> Iterator[str]:
    result = entry.result
    yield f"{file}: in order, {len(result.scores)} tasks, CORE {percent(result.core_v2)}, id {result.id}"
    for rule in rules(entry):
        yield f"  {rule.verdict:17}  {plain(rule.name)}: {plain(rule.reason)}"


@board.command()
@click.argument("file")
@click.option(
    "--to", required=True, metavar="DIR|URL", help="A directory, an fsspec URL, or the http(s) address of a board."
)
@click.option(
    "--items",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The run's items.parquet, from which the board recomputes the scores. Default: scores/ next to FILE.",
)
def upload(file: str, to: str, items: Path | None) -> None:
    """Check FILE and send it to a board. A board server requires your token in DCLM_BOARD_TOKEN."""
    receipt = send(file, to, items)
    said = ["new" if receipt.created else "already present", *(["re-scored from its items"] * receipt.rescored)]
    put_result(receipt, f"{receipt.where} ({', '.join(said)})")


@board.command()
@click.argument("place", metavar="DIR|URL|DATABASE")
@click.option("--scale", help="Only results of this scale.")
@click.option(
    "--published",
    default=0,
    type=click.IntRange(0, 1000),
    metavar="N",
    help="Also show N of DCLM's published results, from the worst to the best.",
)
def table(place: str, scale: str | None, published: int) -> None:
    """Print the leaderboard of a directory, an fsspec URL, a board server or its database."""
    fetched = _fetch(place)
    entries = [*fetched.entries, *some_published(published, scale)]
    shown = [e for e in entries if scale is None or e.result.training.scale == scale]
    put_result(rows(shown), lambda: _print_table(shown))


def _print_table(shown: list[Entry]) -> None:
    open_console(None if sys.stdout.isatty() else 80).print(result_table(shown))
    for entry in shown:
        if entry.standing == "apart":
            put(f"{plain(entry.shown)} is not ranked. {' '.join(map(plain, explain(entry)))}")


@board.command()
@click.argument("place", metavar="DIR|URL|DATABASE")
@click.option("--out", required=True, type=LOCAL_PATH, help="Directory for index.html.")
@click.option("--published/--no-published", default=True, help="Include DCLM's published results as reference rows.")
def site(place: str, out: Path, published: bool) -> None:
    """Write the leaderboard as a static site, with one page per result."""
    fetched = _fetch(place)
    claim_folder(out, "site", [place], known=("results/*.json",))
    page = export_site(fetched.entries, out, published=published, broken=fetched.broken)
    put_result({"page": page, "results": len(fetched.entries), "not_shown": [each.id for each in fetched.broken]}, page)


@board.command()
@click.argument("file")
@click.option("--out", required=True, type=LOCAL_PATH, help="File to write.")
@force_option
def convert(file: str, out: Path, force: bool) -> None:
    """Convert a DCLM leaderboard evaluation file to a result, or a result to such a file."""
    claim_file(out, [file], force=force)
    with open_input(file) as handle:
        data = handle.read(MAX_RESULT_BYTES + 1)
    value = load_json(data, file)
    if isinstance(value, dict) and "eval_metrics" in value:
        write_result(out, from_dclm(value, file))
    else:
        text = json.dumps(to_dclm(parse_result(data, file)), indent=4, ensure_ascii=False)
        write_atomic(out, f"{text}\n".encode())
    put_result({"path": out}, out)


@board.command()
@click.option("--db", required=True, type=LOCAL_PATH, help="SQLite file, created if it does not exist.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--max-mb", default=10_000, show_default=True, type=click.IntRange(1), help="Maximum size of the database."
)
def serve(db: Path, host: str, port: int, max_mb: int) -> None:
    """Run a board server. It accepts results from holders of a token (`dclm board token`) and from its administrator,
    whose token is in DCLM_BOARD_TOKEN. Without any token, it accepts no results."""
    import uvicorn

    from dclm.board.serving.limits import configure
    from dclm.board.serving.server import make_app

    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        what = f"the token is shorter than {MIN_TOKEN_LENGTH} characters"
        raise ConfigError(TOKEN_VARIABLE, what, "openssl rand -hex 32")
    uvicorn.Server(configure(make_app(db, token, max_mb << 20), host, port)).run()
    put_result({"address": f"http://{host}:{port}"}, None)


@board.command()
@click.argument("identity", metavar="ID")
@click.option("--from", "place", required=True, metavar="DATABASE|URL", help="The board's SQLite file, or its address.")
@click.option("--reason", required=True, help="One sentence; recorded in the board's audit log.")
def remove(identity: str, place: str, reason: str) -> None:
    """Remove the entry ID from a board. On a server you may remove your own entries, with your token in
    DCLM_BOARD_TOKEN."""
    if place.startswith(SERVER):
        take_off(identity, place, reason)
    else:
        _open(place).remove(identity, KEEPER, reason)
    put_result({"removed": identity}, f"removed {plain(identity)}")


@board.command()
@database
def audit(db: Path) -> None:
    """Print the audit log of a board: one line for each entry added, re-scored or removed."""
    lines = ResultStore(db).audit()
    put_result(lines, lambda: "\n".join("\t".join(map(plain, line)) for line in lines) or None)


@board.group()
def token() -> None:
    """Manage who may send results to a board: one token per submitter."""


@token.command("add")
@click.argument("name")
@click.option("--db", required=True, type=LOCAL_PATH, help="SQLite file, created if it does not exist.")
def add_token(name: str, db: Path) -> None:
    """Print a new token for the submitter NAME. It is shown only once: the board stores its hash."""
    new = Submitters(ResultStore(db)).create(name)
    put_result({"name": name, "token": new}, new)


@token.command("revoke")
@click.argument("name")
@database
def revoke_token(name: str, db: Path) -> None:
    """Revoke the token of the submitter NAME. Existing entries remain."""
    Submitters(ResultStore(db)).revoke(name)
    put_result({"revoked": name}, f"revoked {name}")


@token.command("list")
@database
def list_tokens(db: Path) -> None:
    """Print all submitters, including those with revoked tokens."""
    known = Submitters(ResultStore(db)).all()
    put_result(known, lambda: "\n".join(map(_submitter, known)) or None)


def _submitter(known: Submitter) -> str:
    return f"{known.name}\t{known.created}\t{'active' if known.revoked is None else f'revoked {known.revoked}'}"


@board.command("published")
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", required=True, type=LOCAL_PATH, help="File to write.")
def write_published(table: Path, out: Path) -> None:
    """Rewrite the reference rows of every board from TABLE, DCLM's published table of evaluations (CSV)."""
    write_atomic(out, make_published(table))
    put_result({"path": out}, out)


def _fetch(place: str) -> Fetched:
    """The entries that can be shown; the others are named on stderr."""
    fetched = fetch_entries(place)
    for broken in fetched.broken:
        say(f"{plain(broken.id)} is not shown: {plain(broken.problem)}")
    return fetched


def _open(place: str) -> ResultStore:
    if not Path(place).is_file():
        raise ConfigError(place, "no such database", "for a directory, delete the entry's files")
    return ResultStore(Path(place))
