"""Send a result to a board: a directory, an fsspec URL, or a board server. And fetch what is on one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import httpx

from dclm.board.conform import shorten
from dclm.board.result import MAX_RESULT_BYTES, Result, load_json, parse_result, read_result
from dclm.board.store import Store
from dclm.board.validate import validate
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import is_local, open_input, write_atomic

TOKEN_VARIABLE = "DCLM_BOARD_TOKEN"
_TIMEOUT_SECONDS = 30.0
_SERVER = ("http://", "https://")
_DATABASE = (".db", ".sqlite", ".sqlite3")


class Receipt(NamedTuple):
    """Where an uploaded result is now."""

    where: str
    created: bool
    """False where the same result was there already."""


def upload(path: Path | str, to: str) -> Receipt:
    """Check the result at `path` and send it to `to`: a directory, an fsspec URL, or http(s)://host of a board server.

    The server's token is taken from the environment variable DCLM_BOARD_TOKEN. Sending twice changes nothing.
    Raises: DataError if the result is not in order or the board refuses it; ConfigError if there is no token, a wrong
    one, or nobody answers at `to`.
    """
    with open_input(path) as handle:
        data = handle.read(MAX_RESULT_BYTES + 1)
    result = validate(data, str(path))
    if to.startswith(_SERVER):
        return _post(data, to)
    name = f"{_slug(result.name)}-{result.id}.json"
    if is_local(to):
        target = Path(to) / name
        if target.exists():
            return Receipt(str(target), False)
        write_atomic(target, data)
        return Receipt(str(target), True)
    return _put(data, f"{to.rstrip('/')}/{name}")


def fetch_results(place: str) -> list[Result]:
    """The results at `place`: a result file, a directory or fsspec URL of them, a database, or a board server.

    Raises: DataError if there are none or one is not a result; ConfigError if nobody answers.
    """
    if place.startswith(_SERVER):
        return list(_download(place))
    if place.endswith(_DATABASE):
        if not Path(place).is_file():
            raise DataError(place, "no such database")
        return Store(Path(place)).all()
    if is_local(place):
        root = Path(place)
        paths = [str(p) for p in ([root] if root.is_file() else sorted(root.glob("*.json")))]
    else:
        filesystem, root_path = fsspec.core.url_to_fs(place)
        paths = [filesystem.unstrip_protocol(p) for p in sorted(filesystem.glob(f"{root_path.rstrip('/')}/*.json"))]
    if not paths:
        raise DataError(place, "no results there", "a result is made by `dclm run`, and sent by `dclm board upload`")
    return [read_result(path) for path in paths]


def _put(data: bytes, url: str) -> Receipt:
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        return Receipt(url, False)
    filesystem.pipe_file(path, data)  # object stores show an object only when it is whole
    return Receipt(url, True)


def _post(data: bytes, to: str) -> Receipt:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise ConfigError(to, "this board wants a token", f"export {TOKEN_VARIABLE}=… (its keeper gives you one)")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ConfigError(to, "the token has characters that no token has", f"check {TOKEN_VARIABLE}")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = _request("POST", to, "/api/results", headers, data)
    if answer.status_code in (200, 201):
        return Receipt(f"{to.rstrip('/')}/api/results/{_said(answer, to, 'id')}", answer.status_code == 201)
    if answer.status_code in (401, 403):
        raise ConfigError(to, f"the board refuses the token ({answer.status_code})", f"check {TOKEN_VARIABLE}")
    if answer.status_code in (400, 409, 413, 422):
        raise DataError(to, f"the board refuses the result: {_said(answer, to, 'error')}")
    raise DataError(to, f"the board answered {answer.status_code}", "is this the address of a board?")


def _download(place: str) -> Iterator[Result]:
    answer = _request("GET", place, "/api/results", {}, None)
    if answer.status_code != 200:
        raise DataError(place, f"the board answered {answer.status_code}", "is this the address of a board?")
    try:
        entries = answer.json()["results"]
        bodies = [entry["result"] for entry in entries]
    except (ValueError, KeyError, TypeError):
        raise DataError(place, "the answer is not a board's", "is this the address of a board?") from None
    for number, body in enumerate(bodies):
        yield parse_result(httpx.Response(200, json=body).content, f"{place}: result {number}")


def _request(method: str, to: str, path: str, headers: dict[str, str], data: bytes | None) -> httpx.Response:
    """The board's answer. Redirects are not followed: a token goes to the address that was named and no other."""
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client:
            return client.request(method, to.rstrip("/") + path, headers=headers, content=data)
    except httpx.InvalidURL:
        raise ConfigError(to, "not an address", "such as https://board.example:8000") from None
    except httpx.TransportError as error:
        what = f"nobody answers there ({type(error).__name__})"
        raise ConfigError(to, what, "check the address, and that the board runs (`dclm board serve`)") from None


def _said(answer: httpx.Response, to: str, key: str) -> str:
    value = load_json(answer.content, to)
    return shorten(str(value.get(key, ""))) if isinstance(value, dict) else ""


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "result"
