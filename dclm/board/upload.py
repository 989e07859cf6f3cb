"""Sends a result, with its items, to a board: a directory, an fsspec URL, or a board server. Removes one from a
server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import fsspec
import httpx

from dclm.board.conform import MAX_RESULT_BYTES
from dclm.board.entry import evaluation_of
from dclm.board.fetch import ITEMS_SUFFIX, SERVER, fetch_results, list_results, request, said
from dclm.board.known.published import published_title
from dclm.board.result import ITEMS_FILE, Result
from dclm.board.serving.rescore import items_hash, rescore
from dclm.board.validate import validate
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import is_local, open_input, sha256_file, write_atomic

TOKEN_VARIABLE = "DCLM_BOARD_TOKEN"
_RESCORE_SECONDS = 300.0
_REFUSED = (400, 409, 413, 422, 507)


class Receipt(NamedTuple):
    """Location of the uploaded result."""

    where: str
    created: bool
    """False if the same result was already there."""
    rescored: bool = False
    """Whether the board has recomputed its scores from the items."""


def upload(path: Path | str, to: str, items: Path | None = None) -> Receipt:
    """Check the result at `path` and send it to `to`: a directory, an fsspec URL, or http(s)://host of a board server.

    `items`: the items.parquet that its scores were made from; by default, the one next to the result or in `scores/`
    next to it is sent if the result's chain names it. The server's token is read from the environment variable
    DCLM_BOARD_TOKEN. Sending a result twice changes nothing. Raises: DataError if the result or its items are invalid
    or the board refuses them; ConfigError if the token is missing or wrong, or the server at `to` does not answer.
    """
    with open_input(path) as handle:
        data = handle.read(MAX_RESULT_BYTES + 1)
    result = validate(data, str(path))
    found = items or items_of(path, result)
    if found is not None:
        rescore(result, found)
    if to.startswith(SERVER):
        receipt = _post(data, to)
        return receipt if found is None else _attach(receipt, result, found, to)
    name = f"{_slug(result.name)}-{result.id}.json"
    if not is_local(to):
        return _put(data, result, to, name)
    target = Path(to) / name
    created = not target.exists()
    if created:
        _refuse_repeat(result, to)
    if found is not None and created:
        write_atomic(Path(to) / f"{name.removesuffix('.json')}{ITEMS_SUFFIX}", found.read_bytes())
    if created:
        write_atomic(target, data)
    return Receipt(str(target), created, found is not None)


def remove(identity: str, board: str, reason: str) -> None:
    """Remove an entry from a board server. Raises: ConfigError (token, no answer); DataError if it cannot be
    removed."""
    path = f"/api/results/{quote(identity, safe='')}?reason={quote(reason)}"
    answer = request("DELETE", board, path, _authorization(board), None)
    if answer.status_code == 200:
        return
    _refuse_token(answer, board)
    raise DataError(board, f"the board answered {answer.status_code}: {said(answer, board, 'error')}")


def items_of(path: Path | str, result: Result) -> Path | None:
    """The items next to a local result, if they are those that its chain names."""
    expected = items_hash(result)
    if expected is None or not is_local(path):
        return None
    folder = Path(path).parent
    beside = (folder / "scores" / ITEMS_FILE, folder / ITEMS_FILE, Path(str(path).removesuffix(".json") + ITEMS_SUFFIX))
    return next((items for items in beside if items.is_file() and sha256_file(items) == expected), None)


def _refuse_repeat(result: Result, place: str) -> None:
    """Raises: DataError if `result` is an imported evaluation that `place` already has under any name."""
    known = published_title(result)
    if known is not None:
        raise DataError(place, f"these scores are already on every board, as the published result {known}")
    if result.imported is None or not list_results(place):
        return
    for other in fetch_results(place):
        if evaluation_of(other) == evaluation_of(result):
            raise DataError(place, f"these scores are already there, as {other.name} ({other.id})")


def _put(data: bytes, result: Result, to: str, name: str) -> Receipt:
    url = f"{to.rstrip('/')}/{name}"
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        return Receipt(url, False)
    _refuse_repeat(result, to)
    filesystem.pipe_file(path, data)  # object stores show an object only when it is complete
    return Receipt(url, True)


def _post(data: bytes, to: str) -> Receipt:
    headers = {**_authorization(to), "Content-Type": "application/json"}
    answer = request("POST", to, "/api/results", headers, data)
    if answer.status_code in (200, 201):
        return Receipt(f"{to.rstrip('/')}/api/results/{said(answer, to, 'id')}", answer.status_code == 201)
    _refuse_token(answer, to)
    if answer.status_code in _REFUSED:
        raise DataError(to, f"the board refused the result: {said(answer, to, 'error')}")
    raise DataError(to, f"the board answered {answer.status_code}", "is this the address of a board?")


def _attach(receipt: Receipt, result: Result, items: Path, to: str) -> Receipt:
    path = f"/api/results/{result.id}/items"
    answer = request("PUT", to, path, _authorization(to), items.read_bytes(), _RESCORE_SECONDS)
    if answer.status_code != 200:
        raise DataError(to, f"the board accepted the result but refused its items: {said(answer, to, 'error')}")
    return receipt._replace(rescored=True)


def _authorization(to: str) -> dict[str, str]:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise ConfigError(
            to, "this board requires a token", f"export {TOKEN_VARIABLE}=… (ask its administrator for one)"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ConfigError(to, "the token contains invalid characters", f"check {TOKEN_VARIABLE}")
    return {"Authorization": f"Bearer {token}"}


def _refuse_token(answer: httpx.Response, to: str) -> None:
    if answer.status_code in (401, 403):
        what = f"the board refused the token ({answer.status_code}): {said(answer, to, 'error')}"
        raise ConfigError(to, what, f"check {TOKEN_VARIABLE}")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "result"
