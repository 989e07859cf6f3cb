"""A board that slow clients, many entries, broken entries and full disks do not stop."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from dclm.board.result import Result
from dclm.board.serving import limits
from dclm.board.serving.limits import GuardedProtocol, configure
from dclm.board.serving.server import make_app
from dclm.board.serving.store import FullError, ResultStore
from dclm.board.serving.submitters import Submitters

MakeResult = Callable[..., Result]
TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
GET = b"GET /api/results?limit=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def served(database: Path, act: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Run `act(port)` in the event loop of a real server."""

    async def both() -> None:
        server = uvicorn.Server(configure(make_app(database, TOKEN), "127.0.0.1", 0))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
        try:
            await asyncio.wait_for(act(server.servers[0].sockets[0].getsockname()[1]), 60)
        finally:
            await server.shutdown()

    asyncio.run(both())


async def ask(port: int, data: bytes = GET) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST /api/results HTTP/1.1\r\nhost: x\r\n"])
def test_half_open_requests_do_not_stop_the_board(tmp_path: Path, begun: bytes) -> None:
    async def act(port: int) -> None:
        open_ones = []
        for _ in range(limits.max_connections() + 120):
            pair = await asyncio.open_connection("127.0.0.1", port)
            pair[1].write(begun)
            open_ones.append(pair)
        assert (await ask(port)).startswith(b"HTTP/1.1 200")
        for _, writer in open_ones:
            writer.close()

    served(tmp_path / "board.db", act)


@pytest.mark.parametrize(
    ("phase", "begun", "said"),
    [
        ("HEADER_SECONDS", b"", b"HTTP/1.1 408"),
        ("HEADER_SECONDS", b"GET / HTTP/1.1\r\nhost:", b"HTTP/1.1 408"),
        ("HEADER_SECONDS", GET.replace(b"close", b"keep-alive") + b"GET /", b"HTTP/1.1 408"),
        (
            "BODY_SECONDS",
            b"POST /api/results HTTP/1.1\r\nhost: x\r\nauthorization: Bearer correct-horse-battery-staple\r\n"
            b"content-length: 100\r\n\r\n{",
            b"",
        ),
    ],
)
def test_a_request_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, begun: bytes, said: bytes
) -> None:
    monkeypatch.setattr(limits, phase, 0.2)

    async def act(port: int) -> None:
        try:
            answer = await ask(port, begun)
        except ConnectionResetError:
            answer = b""
        assert said in answer
        assert not GuardedProtocol.waiting

    served(tmp_path / "board.db", act)


def test_a_keep_alive_connection_is_closed_when_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEEP_ALIVE_SECONDS", 0.2)

    async def act(port: int) -> None:
        assert (await ask(port, GET.replace(b"close", b"keep-alive"))).startswith(b"HTTP/1.1 200")

    served(tmp_path / "board.db", act)


def test_a_server_closes_no_handler_that_the_process_logs_to() -> None:
    class Handler(logging.NullHandler):
        closed = False

        def close(self) -> None:
            self.closed = True

    handler = Handler()
    configure(None, "127.0.0.1", 0)
    assert not handler.closed


@pytest.fixture
def full_board(tmp_path: Path, make: MakeResult) -> Path:
    """A database of 1,000 entries."""
    path = tmp_path / "board.db"
    ResultStore(path)
    model = make(scale="411m_1x")
    with sqlite3.connect(path) as connection:
        for i in range(1000):
            chain = (*model.chain[:-1], dataclasses.replace(model.chain[-1], fingerprint=f"{i:064x}"))
            result = dataclasses.replace(model, name=f"run {i}", chain=chain)
            row = (result.id, f"{i:064x}", json.dumps(result.to_json()), str(i), "ann")
            connection.execute(
                "INSERT INTO results (id, scores_fingerprint, body, evaluation, submitter) VALUES (?, ?, ?, ?, ?)", row
            )
    return path


def test_a_thousand_entries_are_fast_and_small(full_board: Path) -> None:
    with TestClient(make_app(full_board, None)) as client:
        first = client.get("/")
        assert first.status_code == 200
        client.get("/api/results")
        for path, most in (("/", 400_000), ("/api/results", 400_000), ("/api/results?offset=900&limit=100", 400_000)):
            started = time.process_time()
            answer = client.get(path)
            assert time.process_time() - started < 0.5, path
            assert answer.headers["content-encoding"] == "gzip"
            assert len(gzip.compress(answer.content, 6)) < most, path
            again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        seen: list[str] = []
        place: str | None = "/api/results"
        while place is not None:
            page = client.get(place).json()
            seen += [entry["id"] for entry in page["results"]]
            place = page["next"]
        assert len(seen) == len(set(seen)) == page["total"] == 1000


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "offset=-1", "offset=1e3", "limit=%00", "offset="]
)
def test_pages_that_there_are_not_are_refused(tmp_path: Path, query: str) -> None:
    with TestClient(make_app(tmp_path / "board.db", None)) as client:
        assert client.get(f"/api/results?{query}").status_code == 422


def test_one_broken_entry_hides_no_other_and_can_be_removed(tmp_path: Path, make: MakeResult) -> None:
    store = ResultStore(tmp_path / "board.db")
    store.add(make())
    with sqlite3.connect(tmp_path / "board.db") as connection:
        connection.execute("INSERT INTO results (id, body) VALUES ('bad', ?)", ('{"name": "\\ud800"}',))
    with TestClient(make_app(tmp_path / "board.db", TOKEN)) as client:
        listing = client.get("/api/results").json()
        assert [e["id"] for e in listing["results"]] == [make().id]
        assert [b["id"] for b in listing["broken"]] == ["bad"]
        assert client.get("/").status_code == 200
        assert client.get("/api/results/bad").status_code == 404
        assert client.delete("/api/results/bad?reason=unreadable", headers=BEARER).status_code == 200
        assert client.get("/api/results").json()["broken"] == []
    assert [(line.action, line.subject, line.detail) for line in store.audit()][-1] == ("remove", "bad", "unreadable")


def test_a_full_disk_is_507_and_nothing_is_half_there(tmp_path: Path, make: MakeResult) -> None:
    with TestClient(make_app(tmp_path / "board.db", TOKEN, max_bytes=120_000)) as client:
        codes = [
            client.post("/api/results", content=json.dumps(make(name=f"r{i}").to_json()), headers=BEARER).status_code
            for i in range(30)
        ]
        assert set(codes) == {201, 507}
        assert client.get("/api/results").json()["total"] == codes.count(201)
    with pytest.raises(FullError):
        ResultStore(tmp_path / "board.db", 120_000).add(make(name="another"))


def test_a_disk_that_is_full_for_everybody_is_507(
    tmp_path: Path, make: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with TestClient(make_app(tmp_path / "board.db", TOKEN)) as client:
        monkeypatch.setattr(ResultStore, "add", fail)
        answer = client.post("/api/results", content=json.dumps(make().to_json()), headers=BEARER)
    assert answer.status_code == 507


def test_each_submitter_has_a_token_that_can_be_revoked(tmp_path: Path, make: MakeResult) -> None:
    submitters = Submitters(ResultStore(tmp_path / "board.db"))
    tokens = {name: submitters.create(name) for name in ("ann", "bob")}
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    result = make()
    body = json.dumps(result.to_json())
    with TestClient(make_app(tmp_path / "board.db", None)) as client:
        assert client.post("/api/results", content=body, headers=headers["ann"]).status_code == 201
        renamed = json.dumps(result.to_json() | {"name": "mine now"})
        assert client.post("/api/results", content=renamed, headers=headers["bob"]).status_code == 409
        assert client.delete(f"/api/results/{result.id}", headers=headers["bob"]).status_code == 403
        assert client.get("/api/results").json()["results"][0]["submitter"] == "ann"
        submitters.revoke("ann")
        assert client.delete(f"/api/results/{result.id}", headers=headers["ann"]).status_code == 401
        assert client.get("/api/results").json()["total"] == 1
        submitters.revoke("bob")
        assert client.post("/api/results", content=body, headers=headers["bob"]).status_code == 403
    raw = (tmp_path / "board.db").read_bytes()
    assert all(token.encode() not in raw for token in tokens.values())


def test_an_early_board_is_brought_up_to_date(tmp_path: Path, make: MakeResult) -> None:
    with sqlite3.connect(tmp_path / "board.db") as connection:
        connection.execute(
            "CREATE TABLE results (id TEXT PRIMARY KEY, scores_fingerprint TEXT UNIQUE,"
            " received TEXT NOT NULL DEFAULT 'then', body TEXT NOT NULL) STRICT"
        )
        connection.execute("INSERT INTO results (id, body) VALUES (?, ?)", (make().id, json.dumps(make().to_json())))
    store = ResultStore(tmp_path / "board.db")
    assert [e.id for e in store.entries()[0]] == [make().id]
    store.add(make(name="another"))
    assert len(store.all()) == 2
