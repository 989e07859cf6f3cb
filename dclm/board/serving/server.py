"""The board server: accepts results from holders of a token, checks them, and shows them as JSON and as pages."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dclm.board.conform import MAX_RESULT_BYTES
from dclm.board.known.published import published_title
from dclm.board.serving.rescore import MAX_ITEMS_BYTES, items_hash, rescore
from dclm.board.serving.store import DuplicateError, FullError, NotYoursError, ResultStore, Stored
from dclm.board.serving.submitters import Submitters
from dclm.board.serving.views import Views, answer
from dclm.board.validate import validate
from dclm.core.errors import DataError
from dclm.core.storage import is_disk_full

Handler = Callable[[Request], Awaitable[Response]]
DEFAULT_PAGE, LARGEST_PAGE = 100, 500
"""Number of entries per page of /api/results."""


class _TooLargeError(Exception):
    pass


def make_app(database: Path, token: str | None, max_bytes: int | None = None) -> Starlette:
    """The server's application. `token` is the administrator's; submitters have their own tokens in the database.

    Without any token, the board shows results but accepts none. `max_bytes`: maximum size of the database.
    """
    store = ResultStore(database, max_bytes)
    submitters, views = Submitters(store, token), Views(store)

    async def submit(request: Request, who: str) -> Response:
        data = await _body(request, MAX_RESULT_BYTES)
        stored = await run_in_threadpool(_keep, store, data, who)
        return answer({"id": stored.id, "created": stored.created}, 201 if stored.created else 200)

    async def attach(request: Request, who: str) -> Response:
        identity = request.path_params["id"]
        with tempfile.TemporaryDirectory(prefix="dclm-board-") as folder:
            items = Path(folder) / "items.parquet"
            entry = await run_in_threadpool(store.get, identity)
            if entry is None:
                return answer({"error": "no such result"}, 404)
            await run_in_threadpool(store.check_owner, identity, who)
            if items_hash(entry.result) is None:
                raise DataError("items", "the result's chain does not name its items")
            with items.open("wb") as file:
                await _receive(request, MAX_ITEMS_BYTES, file.write)
            rescored = await run_in_threadpool(rescore, entry.result, items)
        await run_in_threadpool(store.set_rescored, identity, rescored, who)
        return answer({"id": identity, "items": rescored.items, "answers_checked": rescored.answers_checked})

    async def remove(request: Request, who: str) -> Response:
        identity = request.path_params["id"]
        reason = request.query_params.get("reason", "")[:200]
        if await run_in_threadpool(store.exists, identity) is False:
            return answer({"error": "no such result"}, 404)
        await run_in_threadpool(store.remove, identity, who, reason)
        return answer({"id": identity, "removed": True})

    def guarded(handler: Callable[[Request, str], Awaitable[Response]]) -> Handler:
        async def handle(request: Request) -> Response:
            who = await run_in_threadpool(_who, request, submitters)
            if isinstance(who, Response):
                return who
            try:
                return await handler(request, who)
            except _TooLargeError as error:
                return answer({"error": f"more than {error} bytes"}, 413)
            except FullError as error:
                return answer(_explain(error), 507)
            except NotYoursError as error:
                return answer(_explain(error), 403)
            except DuplicateError as error:
                return answer(_explain(error), 409)
            except DataError as error:
                return answer(_explain(error), 422)
            except OSError as error:
                if is_disk_full(error):
                    return answer({"error": "the board's disk is full"}, 507)
                raise

        return handle

    async def everything(request: Request) -> Response:
        offset, limit = (_whole(request, n, d) for n, d in (("offset", 0), ("limit", DEFAULT_PAGE)))
        if offset is None or limit is None or not 1 <= limit <= LARGEST_PAGE:
            what = f"offset: an integer ≥ 0; limit: 1 to {LARGEST_PAGE}"
            return answer({"error": what}, 422)
        return await run_in_threadpool(views.listing, request, offset, limit)

    async def one(request: Request) -> Response:
        return await run_in_threadpool(views.result, request, request.path_params["id"])

    def shown(view: Callable[[Request], Response]) -> Handler:
        async def handle(request: Request) -> Response:
            return await run_in_threadpool(view, request)

        return handle

    return Starlette(
        routes=[
            Route("/", shown(views.page)),
            Route("/results/{id:str}.html", shown(views.detail)),
            Route("/results.csv", shown(views.csv)),
            Route("/results.json", shown(views.summary)),
            Route("/openapi.json", shown(views.openapi)),
            Route("/api/results", everything, methods=["GET"]),
            Route("/api/results.json", everything, methods=["GET"]),
            Route("/api/results", guarded(submit), methods=["POST"]),
            Route("/api/results/{id:str}", one, methods=["GET"]),
            Route("/api/results/{id:str}", guarded(remove), methods=["DELETE"]),
            Route("/api/results/{id:str}/items", guarded(attach), methods=["PUT"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )


def _who(request: Request, submitters: Submitters) -> str | Response:
    """The submitter whose token was sent, or the answer to a request that is not allowed."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    who = submitters.find(given.strip()) if scheme.lower() == "bearer" and given.strip() else None
    if who is not None:
        return who
    if not submitters.anybody():
        return answer({"error": "this board accepts no results"}, 403)
    return answer({"error": "wrong or missing token"}, 401, {"WWW-Authenticate": "Bearer"})


def _whole(request: Request, name: str, default: int) -> int | None:
    """A query parameter that is an integer from 0 to a billion; None if it is anything else."""
    values = request.query_params.getlist(name)
    if not values:
        return default
    text = values[-1]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


async def _body(request: Request, limit: int) -> bytes:
    """The body. Raises: _TooLargeError."""
    data = bytearray()
    await _receive(request, limit, data.extend)
    return bytes(data)


async def _receive(request: Request, limit: int, write: Callable[[bytes], object]) -> None:
    """Pass the body on, up to the limit. Raises: _TooLargeError."""
    declared = request.headers.get("content-length", "0")
    size = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
    if size > limit:
        raise _TooLargeError(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _TooLargeError(limit)
        write(chunk)


def _keep(store: ResultStore, data: bytes, who: str) -> Stored:
    result = validate(data, "result")
    known = published_title(result)
    if known is not None:
        raise DuplicateError("board", f"these scores are already on the board, as the published result {known}")
    return store.add(result, who)


def _explain(error: DataError) -> dict[str, object]:
    return {
        "error": "; ".join(f"{p.where}: {p.what}" for p in error.problems[:3]),
        "problems": [{"where": p.where, "what": p.what} for p in error.problems[:100]],
    }


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer({"error": error.detail}, error.status_code, error.headers)
