"""The board server: takes results with a token, checks them, keeps them, and shows them as JSON and as a page."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dclm.board.page import POLICY, render_page
from dclm.board.result import MAX_RESULT_BYTES, Result
from dclm.board.store import DuplicateError, Store, Stored
from dclm.board.validate import validate
from dclm.core.errors import DataError

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _TooLargeError(Exception):
    pass


def make_app(database: Path, token: str | None) -> Starlette:
    """The server's application. Without a `token` it shows results and takes none."""
    store = Store(database)

    async def submit(request: Request) -> Response:
        refusal = _refuse(request, token)
        if refusal:
            return refusal
        try:
            stored = await run_in_threadpool(_keep, store, await _body(request))
        except _TooLargeError:
            return _answer({"error": f"more than {MAX_RESULT_BYTES} bytes"}, 413)
        except DuplicateError as error:
            return _answer(_explain(error), 409)
        except DataError as error:
            return _answer(_explain(error), 422)
        return _answer({"id": stored.id, "created": stored.created}, 201 if stored.created else 200)

    async def everything(request: Request) -> Response:
        results = await run_in_threadpool(store.all)
        return _answer({"results": [{"id": r.id, "result": r.to_json()} for r in results]})

    async def one(request: Request) -> Response:
        result = await run_in_threadpool(store.get, request.path_params["id"])
        return _answer(result.to_json()) if result else _answer({"error": "no such result"}, 404)

    async def page(request: Request) -> Response:
        html = await run_in_threadpool(lambda: render_page(store.all(), link="api/results/{id}"))
        return HTMLResponse(html, headers=_HEADERS | {"Content-Security-Policy": POLICY})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/results", everything, methods=["GET"]),
            Route("/api/results.json", everything, methods=["GET"]),
            Route("/api/results", submit, methods=["POST"]),
            Route("/api/results/{id:str}", one),
        ]
    )


def _refuse(request: Request, token: str | None) -> Response | None:
    """The answer to a submission that may not be made."""
    if token is None:
        return _answer({"error": "this board takes no results"}, 403)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), token.encode()):
        return _answer({"error": "wrong or missing token"}, 401, {"WWW-Authenticate": "Bearer"})
    return None


async def _body(request: Request) -> bytes:
    """The body, read no further than the limit. Raises: _TooLargeError."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_RESULT_BYTES:
            raise _TooLargeError
    return bytes(data)


def _keep(store: Store, data: bytes) -> Stored:
    result: Result = validate(data, "result")
    return store.add(result)


def _explain(error: DataError) -> dict[str, object]:
    return {
        "error": "; ".join(f"{p.where}: {p.what}" for p in error.problems[:3]),
        "problems": [{"where": p.where, "what": p.what} for p in error.problems[:100]],
    }


def _answer(value: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    policy = {"Content-Security-Policy": "default-src 'none'"}
    return JSONResponse(value, status_code=status, headers=_HEADERS | policy | dict(headers or {}))
