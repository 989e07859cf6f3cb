"""Reads the entries of a board: a directory, an fsspec URL, a board's database, or a board server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import httpx

from dclm.board.conform import load_json, shorten
from dclm.board.entry import Broken, Entry, Rescored
from dclm.board.result import Result, parse_result, read_result
from dclm.board.serving.rescore import rescore
from dclm.board.serving.store import ResultStore
from dclm.core.errors import ConfigError, DataError, Problem
from dclm.core.storage import is_local

SERVER = ("http://", "https://")
ITEMS_SUFFIX = ".items.parquet"
"""File name of the items next to a result in a directory."""
_DATABASE = (".db", ".sqlite", ".sqlite3")
_TIMEOUT_SECONDS = 30.0
_PAGE = 200
_MAX_PAGES = 10_000


class Fetched(NamedTuple):
    """The entries found."""

    entries: list[Entry]
    broken: list[Broken]
    """Entries that cannot be shown, by file name or id. They do not hide any others."""


def fetch_entries(place: str) -> Fetched:
    """The entries at `place`: a result file, a directory or fsspec URL of them, a database, or a board server.

    In a local directory, scores are recomputed from the items next to a result (NAME.items.parquet). Raises: DataError
    without any entries, or with only broken ones; ConfigError if the server does not answer.
    """
    if place.startswith(SERVER):
        return _download(place)
    if place.endswith(_DATABASE):
        if not Path(place).is_file():
            raise DataError(place, "no such database")
        return Fetched(*ResultStore(Path(place)).entries())
    return _read_all(place, list_results(place))


def fetch_results(place: str) -> list[Result]:
    """The readable results at `place`, as found by `fetch_entries`."""
    return [entry.result for entry in fetch_entries(place).entries]


def list_results(place: str) -> list[str]:
    """The result files at a local path or fsspec URL."""
    if is_local(place):
        root = Path(place)
        return [str(p) for p in ([root] if root.is_file() else sorted(root.glob("*.json")))]
    filesystem, root_path = fsspec.core.url_to_fs(place)
    return [filesystem.unstrip_protocol(p) for p in sorted(filesystem.glob(f"{root_path.rstrip('/')}/*.json"))]


def _read_all(place: str, paths: list[str]) -> Fetched:
    if not paths:
        raise DataError(place, "no results there", "`dclm run` makes a result, and `dclm board upload` sends it")
    entries: list[Entry] = []
    broken: list[Broken] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            entries.append(_read(path))
        except DataError as error:
            broken.append(Broken(id=path.rpartition("/")[2], problem=error.problems[0].what))
            problems += error.problems
    if not entries:
        raise DataError(*problems[0], others=problems[1:])
    return Fetched(entries, broken)


def _read(path: str) -> Entry:
    result = read_result(path)
    items = Path(path.removesuffix(".json") + ITEMS_SUFFIX)
    rescored = rescore(result, items) if is_local(path) and items.is_file() else None
    return Entry(result=result, rescored=rescored)


def _download(place: str) -> Fetched:
    entries: list[Entry] = []
    broken: list[Broken] = []
    path: str | None = f"/api/results?limit={_PAGE}"
    for _ in range(_MAX_PAGES):
        if path is None:
            return Fetched(entries, broken)
        answer = request("GET", place, path, {}, None)
        if answer.status_code != 200:
            raise DataError(place, f"the board answered {answer.status_code}", "is this the address of a board?")
        try:
            content = answer.json()
            found = list(_parsed(content["results"], place))
            broken = [Broken(id=str(b["id"]), problem=str(b["problem"])) for b in content.get("broken", [])]
            path = content.get("next")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(place, "the answer did not come from a board", "is this the address of a board?") from None
        if path is not None and (not found or not path.startswith("/api/results?")):
            break
        entries += found
    raise DataError(place, "the board's list of results does not end")


def _parsed(values: list[dict[str, object]], place: str) -> Iterator[Entry]:
    for value in values:
        data = httpx.Response(200, json=value["result"]).content
        result = parse_result(data, f"{place}: result {shorten(str(value.get('id')))}")
        marked = Rescored(items=0, tasks=len(result.scores), answers_checked=0, sha256="")
        submitter = value.get("submitter")
        yield Entry(
            result=result,
            submitter=None if submitter is None else str(submitter),
            rescored=marked if value.get("rescored") is True else None,
        )


def request(
    method: str, to: str, path: str, headers: dict[str, str], data: bytes | None, seconds: float = _TIMEOUT_SECONDS
) -> httpx.Response:
    """The board's answer. Redirects are not followed: a token is sent only to the given address."""
    try:
        with httpx.Client(timeout=seconds, follow_redirects=False) as client:
            return client.request(method, to.rstrip("/") + path, headers=headers, content=data)
    except httpx.InvalidURL:
        raise ConfigError(to, "not a URL", "such as https://board.example:8000") from None
    except httpx.TransportError as error:
        what = f"the server does not answer ({type(error).__name__})"
        raise ConfigError(to, what, "check the address, and that the board is running (`dclm board serve`)") from None


def said(answer: httpx.Response, to: str, key: str) -> str:
    """One field of a board's answer, safe to show."""
    value = load_json(answer.content, to)
    return shorten(str(value.get(key, ""))) if isinstance(value, dict) else ""
