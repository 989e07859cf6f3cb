"""The responses of the board server, made once after each change of the board and kept in memory, also compressed."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dclm.board.entry import Broken, Entry
from dclm.board.known.published import published_entries
from dclm.board.pages.detail import render_detail
from dclm.board.pages.listing import to_csv, to_json
from dclm.board.pages.page import POLICY, render_page
from dclm.board.serving.openapi import document
from dclm.board.serving.store import ResultStore
from dclm.core.errors import DataError

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_DATA_POLICY = {"Content-Security-Policy": "default-src 'none'"}
_MAX_KEPT = 200
"""Maximum number of responses kept in memory, apart from the board itself."""


class _Made(NamedTuple):
    body: bytes
    packed: bytes
    kind: str
    policy: str
    tag: str
    status: int


class Views:
    """Answers to GET requests. Safe to use from many threads."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._version = -1
        self._entries: list[Entry] = []
        self._broken: list[Broken] = []
        self._by_id: dict[str, Entry] = {}
        self._kept: dict[str, _Made] = {}

    def page(self, request: Request) -> Response:
        """The leaderboard."""

        return self._html(request, "/", lambda: render_page(self._all(), broken=self._broken))

    def detail(self, request: Request) -> Response:
        """Everything about one entry."""
        identity = str(request.path_params["id"])
        with self._lock:
            self._refresh()
            entry = self._by_id.get(identity)
        if entry is None:
            return answer({"error": "no such result"}, 404)
        link = None if entry.published else f"../api/results/{entry.id}"
        return self._html(request, f"detail {identity}", lambda: render_detail(entry, json_link=link))

    def listing(self, request: Request, offset: int, limit: int) -> Response:
        """One page of the results as JSON, in order of arrival."""
        return self._json(request, f"list {offset} {limit}", lambda: self._listing(offset, limit))

    def result(self, request: Request, identity: str) -> Response:
        """One result.json."""
        try:
            entry = self._store.get(identity)
        except DataError as error:
            return answer({"error": f"this entry cannot be shown: {error.problems[0].what}"}, 404)
        return answer({"error": "no such result"}, 404) if entry is None else answer(entry.result.to_json())

    def csv(self, request: Request) -> Response:
        """All rows, including published ones, as CSV."""
        policy = _DATA_POLICY["Content-Security-Policy"]
        return self._answer(request, "csv", lambda: to_csv(self._all()).encode(), "text/csv; charset=utf-8", policy)

    def summary(self, request: Request) -> Response:
        """All rows, including published ones, as JSON."""
        policy = _DATA_POLICY["Content-Security-Policy"]
        return self._answer(request, "json", lambda: to_json(self._all()).encode(), "application/json", policy)

    def openapi(self, request: Request) -> Response:
        """The description of the API."""
        return self._json(request, "openapi", document)

    def _all(self) -> list[Entry]:
        return [*self._entries, *published_entries()]

    def _listing(self, offset: int, limit: int) -> Mapping[str, object]:
        part = self._entries[offset : offset + limit]
        end = offset + len(part)
        return {
            "results": [self._described(entry) for entry in part],
            "total": len(self._entries),
            "offset": offset,
            "next": f"/api/results?offset={end}&limit={limit}" if end < len(self._entries) else None,
            "broken": [{"id": b.id, "problem": b.problem} for b in self._broken],
        }

    def _described(self, entry: Entry) -> dict[str, object]:
        return {
            "id": entry.id,
            "submitter": entry.submitter,
            "received": entry.received,
            "standing": entry.standing,
            "reasons": list(entry.reasons),
            "rescored": entry.rescored is not None,
            "result": json.loads(self._store.body(entry.id) or "null"),
        }

    def _refresh(self) -> None:
        """Read new entries and discard responses made from the old state. Called with the lock held."""
        version = self._store.version()
        if version != self._version:
            self._entries, self._broken = self._store.entries({entry.id: entry for entry in self._entries})
            self._by_id = {entry.id: entry for entry in self._all()}
            self._version = version
            self._kept.clear()

    def _html(self, request: Request, key: str, make: Callable[[], str]) -> Response:
        return self._answer(request, key, lambda: make().encode(), "text/html; charset=utf-8", POLICY)

    def _json(self, request: Request, key: str, make: Callable[[], Mapping[str, object]]) -> Response:
        def body() -> bytes:
            return json.dumps(make(), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

        return self._answer(request, key, body, "application/json", _DATA_POLICY["Content-Security-Policy"])

    def _answer(self, request: Request, key: str, make: Callable[[], bytes], kind: str, policy: str) -> Response:
        """The cached response for that key, or a new one if the board has changed since."""
        with self._lock:
            self._refresh()
            made = self._kept.get(key)
            if made is None:
                body = make()
                tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                made = _Made(body, gzip.compress(body, 6, mtime=0), kind, policy, tag, 200)
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = made
        headers = {
            **_HEADERS,
            "Content-Security-Policy": made.policy,
            "ETag": made.tag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
        }
        if made.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(made.packed, headers=headers, media_type=made.kind)
        return Response(made.body, headers=headers, media_type=made.kind)


def answer(value: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response that is not cached."""
    return JSONResponse(value, status_code=status, headers={**_HEADERS, **_DATA_POLICY, **(headers or {})})
