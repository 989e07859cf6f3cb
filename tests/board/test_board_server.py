"""The board server accepts each valid result of an authorized submitter once, and survives everything else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from dclm.board.conform import MAX_RESULT_BYTES
from dclm.board.fetch import fetch_results
from dclm.board.result import Result, write_result
from dclm.board.serving.limits import configure
from dclm.board.serving.server import make_app
from dclm.board.serving.store import ResultStore
from dclm.board.upload import upload
from dclm.core.errors import ConfigError, DataError

MakeResult = Callable[..., Result]
TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(make_app(tmp_path / "board.db", TOKEN)) as client:
        yield client


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A real server on a free port."""
    config = configure(make_app(tmp_path / "board.db", TOKEN), "127.0.0.1", 0)
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def send(client: TestClient, result: Result, headers: dict[str, str] = BEARER) -> httpx.Response:
    answer: httpx.Response = client.post("/api/results", content=json.dumps(result.to_json()), headers=headers)
    return answer


def test_a_result_is_taken_once_and_shown(client: TestClient, make: MakeResult) -> None:
    result = make()
    first, second = send(client, result), send(client, result)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {"id": result.id, "created": True}
    assert second.json() == {"id": result.id, "created": False}
    assert client.get(f"/api/results/{result.id}").json() == result.to_json()
    assert [r["id"] for r in client.get("/api/results").json()["results"]] == [result.id]
    assert client.get("/api/results.json").json() == client.get("/api/results").json()
    assert "baseline" in client.get("/").text


def test_the_same_scores_under_another_name_are_refused(client: TestClient, make: MakeResult) -> None:
    result = make()
    send(client, result)
    value = result.to_json() | {"name": "mine now"}
    answer = client.post("/api/results", content=json.dumps(value), headers=BEARER)
    assert answer.status_code == 409
    assert result.id in answer.json()["error"]
    assert len(client.get("/api/results").json()["results"]) == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer "}],
)
def test_without_the_token_nothing_is_taken(client: TestClient, make: MakeResult, headers: dict[str, str]) -> None:
    answer = send(client, make(), headers)
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert client.get("/api/results").json()["total"] == 0


def test_a_token_with_strange_characters_is_a_wrong_token(client: TestClient) -> None:
    answer = client.post("/api/results", content=b"{}", headers={"Authorization": "Bearer \xff".encode("latin-1")})
    assert answer.status_code == 401


def test_a_board_without_a_token_takes_nothing(tmp_path: Path, make: MakeResult) -> None:
    with TestClient(make_app(tmp_path / "b.db", None)) as client:
        assert send(client, make()).status_code == 403


def test_a_body_beyond_the_limit_is_refused_before_it_is_parsed(client: TestClient) -> None:
    answer = client.post("/api/results", content=b" " * (MAX_RESULT_BYTES + 1), headers=BEARER)
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"null", b"\xff", b'{"name": 1}'])
def test_what_is_no_result_is_refused_with_its_problems(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/results", content=body, headers=BEARER)
    assert answer.status_code == 422
    assert answer.json()["problems"]


def test_a_forged_core_is_refused(client: TestClient, make: MakeResult) -> None:
    answer = send(client, make(core_v2=0.999))
    assert answer.status_code == 422
    assert "core_v2" in answer.json()["error"]


def test_unknown_ids_are_not_found(client: TestClient) -> None:
    for identity in ("nothing", "' OR 1=1 --", "../../etc/passwd"):
        assert client.get(f"/api/results/{identity}").status_code == 404


def test_every_answer_forbids_what_it_does_not_need(client: TestClient) -> None:
    for path in ("/", "/api/results"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"


def test_many_at_once_lose_nothing(tmp_path: Path, make: MakeResult) -> None:
    store = ResultStore(tmp_path / "board.db")
    results = [make(name=f"run {i}") for i in range(12)]
    with ThreadPoolExecutor(6) as threads:
        created = [stored.created for stored in threads.map(store.add, results * 2)]
    assert sum(created) == 12
    assert {r.id for r in store.all()} == {r.id for r in results}


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "board.db").write_text("this is a diary, and quite long enough to be read as one " * 50)
    with pytest.raises(DataError, match="not a board's database"):
        ResultStore(tmp_path / "board.db")


def test_upload_over_http_and_back(
    address: str, result_file: Path, make: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_BOARD_TOKEN", TOKEN)
    assert [upload(result_file, address).created for _ in range(2)] == [True, False]
    assert fetch_results(address) == [make()]
    other = result_file.with_name("renamed.json")
    write_result(other, make(name="baseline", track="mixing"))
    with pytest.raises(DataError, match="already on the board"):
        upload(other, address)


@pytest.mark.parametrize("token", ["wrong-token-of-enough-letters", "bad\ntoken", ""])
def test_a_bad_token_is_three_lines_and_never_shown(
    address: str, result_file: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("DCLM_BOARD_TOKEN", token)
    with pytest.raises(ConfigError) as caught:
        upload(result_file, address)
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert "DCLM_BOARD_TOKEN" in text
    assert not token or token not in text
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no-such-board.invalid", "http://[broken"])
def test_a_board_that_does_not_answer_is_three_lines(
    address: str, result_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_BOARD_TOKEN", TOKEN)
    with pytest.raises(ConfigError) as caught:
        upload(result_file, address)
    assert len(str(caught.value).splitlines()) == 3
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("place", ["DIR", "memory://board/results"])
def test_upload_to_a_directory_or_url_and_back(place: str, tmp_path: Path, result_file: Path, make: MakeResult) -> None:
    place = str(tmp_path / "board") if place == "DIR" else place
    assert [upload(result_file, place).created for _ in range(2)] == [True, False]
    assert fetch_results(place) == [make()]
    if place.startswith("memory"):
        fsspec.filesystem("memory").rm("/board", recursive=True)


def test_a_bad_result_is_not_sent(tmp_path: Path, make: MakeResult) -> None:
    write_result(tmp_path / "result.json", make(core_v2=0.9))
    with pytest.raises(DataError, match="core_v2"):
        upload(tmp_path / "result.json", str(tmp_path / "board"))
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("place", ["missing.db", "empty"])
def test_a_place_without_results_is_an_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(DataError):
        fetch_results(str(tmp_path / place))
