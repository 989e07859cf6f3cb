"""Labels by a language model: reading answers, the cache, a server on this machine, replays, workers."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_runs import run, write_pool
from language_models import write_model

from dclm.core.errors import ConfigError, DataError
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.step import Context
from dclm.select.llm_label.cache import AnswerCache
from dclm.select.llm_label.endpoint import Endpoint
from dclm.select.llm_label.step import LlmLabel

RUBRIC = "Grade from 0 to 5: {text} Grade:"


def label(step: LlmLabel, texts: list[str], context: Context | None = None) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(context or Context())(batch)


class Server:
    """A server whose grade is the number of words; `faults` are statuses that it returns first."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], str | None]] = []
        self.faults: list[int] = []
        self.body: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((request, self.headers["Authorization"]))
                status = outer.faults.pop(0) if outer.faults else 200
                words = request["messages"][0]["content"].count("w")
                answer = {"choices": [{"message": {"content": f"I give {words} of 9."}}]}
                body = outer.body or json.dumps(answer).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/stolen")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.http.shutdown()
    started.http.server_close()


def test_only_what_decides_labels_is_in_the_fingerprint() -> None:
    step = LlmLabel(model="m", prompt=RUBRIC, cache="answers", scores=(0, 5), endpoint="http://host/v1")

    def identity(**changes: Any) -> str:
        return bind(Pipeline(name="p", steps=(dataclasses.replace(step, **changes),))).identity(0, 1)

    assert identity() == identity(parallel=2) == identity(key_variable="KEY")
    assert len({identity(), identity(answer_tokens=5), identity(model="n"), identity(scores=(0, 4))}) == 4


def test_a_plan_says_where_documents_are_sent() -> None:
    step = LlmLabel(model="m", prompt=RUBRIC, cache="answers", scores=(0, 5), endpoint="http://host/v1", max_tokens=100)
    said = "one request to http://host/v1 per document without an answer in answers, with up to 400 of its characters"
    assert step.cost.startswith(said)
    assert dataclasses.replace(step, replay=True).cost == ""
    assert "2 FLOPs" in dataclasses.replace(step, endpoint=None).cost


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("4", 4.0),
        ("Score: 3.5", 3.5),
        ("out of 5 I give 2", 2.0),
        ("9", None),
        ("-1 or 1", 1.0),
        ("", None),
        ("five", None),
    ],
)
def test_scores_are_the_last_number_within_bounds(answer: str, score: float | None) -> None:
    assert LlmLabel(model="m", prompt=RUBRIC, cache="c", scores=(0, 5))._read(answer) == score


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("news", "News"), ("It is news, not News article.", "News article"), ("newspaper", None),
        ("blog or NEWS", "News"),
        ("", None), ("News article", "News article"), ("blog.", "Blog"),
    ],
)  # fmt: skip
def test_classes_are_the_last_one_named(answer: str, name: str | None) -> None:
    step = LlmLabel(model="m", prompt=RUBRIC, cache="c", classes=("News", "News article", "Blog"))
    assert step._read(answer) == name


def test_a_server_is_asked_once_and_then_not_needed(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("GRADER_KEY", "secret")
    texts = ["w w w", "w", "", "w w w", *(f"w{i}" for i in range(20))]
    settings: dict[str, Any] = {"model": "grader", "prompt": RUBRIC, "cache": str(tmp_path / "c"), "scores": (0, 5)}
    step = LlmLabel(**settings, endpoint=server.url, key_variable="GRADER_KEY", answer_column="said")
    first = label(step, texts)
    assert first.column("label").to_pylist()[:4] == [3.0, 1.0, 0.0, 3.0]
    assert first.column("said")[1].as_py() == "I give 1 of 9."
    request, key = server.requests[0]
    assert key == "Bearer secret"
    assert request["model"] == "grader"
    assert request["temperature"] == 0
    assert request["messages"][0]["content"].startswith("Grade from 0 to 5: ")
    asked = len(server.requests)
    assert len({json.dumps(r) for r, _ in server.requests}) == 23
    assert label(step, texts).equals(first)
    assert len(server.requests) == asked
    monkeypatch.delenv("GRADER_KEY")
    replay = LlmLabel(**settings, endpoint=server.url, key_variable="GRADER_KEY", answer_column="said", replay=True)
    assert label(replay, texts).equals(first)
    assert len(server.requests) == asked
    with pytest.raises(DataError, match="no answer for the document that begins 'new text'"):
        label(replay, ["new text"])
    assert not any("secret" in path.read_text() for path in (tmp_path / "c").rglob("*.json"))


def test_a_busy_server_is_asked_again_and_a_refusal_is_an_error(server: Server) -> None:
    endpoint = Endpoint(server.url, None, pause=0.0)
    request = {"messages": [{"role": "user", "content": "w"}]}
    server.faults = [503, 429, 500]
    assert endpoint.complete(request) == "I give 1 of 9."
    for status, what in ((401, "answered 401"), (302, "answered 302")):
        server.faults = [status]
        with pytest.raises(DataError, match=what):
            endpoint.complete(request)
    server.faults = [503] * 5
    with pytest.raises(DataError, match="5 times"):
        endpoint.complete(request)
    for body in (b"{}", b"no JSON", b'{"choices": []}', b" " * 2_000_000):
        server.body = body
        with pytest.raises(DataError, match="answer"):
            endpoint.complete(request)
    with pytest.raises(DataError, match="cannot be reached"):
        Endpoint("http://127.0.0.1:1/v1", None, pause=0.0).complete(request)
    with pytest.raises(ConfigError, match="http"):
        Endpoint("file:///etc/passwd", None)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        Endpoint(server.url, "NO_SUCH_KEY")


def test_answers_survive_and_damage_is_named(tmp_path: Path) -> None:
    cache, request = AnswerCache(tmp_path), {"model": "m", "text": "größe \ud800"}
    assert cache.get(request) is None
    assert cache.put(request, "first") == "first"
    assert cache.put(request, "second") == "first"
    assert cache.get(request) == "first"
    (file,) = tmp_path.rglob("*.json")
    for content in ("{", "[]", '{"request": {}, "answer": "x"}'):
        file.write_text(content)
        with pytest.raises(DataError, match="delete the file"):
            cache.get(request)
    cache.require_model("model", "a" * 64)
    cache.require_model("model", "a" * 64)
    with pytest.raises(DataError, match="choose another `cache`"):
        cache.require_model("model", "b" * 64)


def test_a_local_model_answers_and_a_replay_gives_the_same_bytes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", chat=True)
    texts = [f"w{i} w{i + 1} good" for i in range(12)]
    pool = write_pool(tmp_path / "pool", [[{"text": t} for t in texts[i::4]] for i in range(4)])
    settings: dict[str, Any] = {
        "model": f"hf:{model}", "prompt": "### {text} ### good or bad", "classes": ("Yes", "No", "w8", "good"),
        "answer_tokens": 6, "cache": str(tmp_path / "cache"), "answer_column": "said",
    }  # fmt: skip
    _, table = run([LlmLabel(**settings)], pool, tmp_path / "first")
    assert any(table.column("said").to_pylist())
    assert table.column("label").null_count < 12
    (tmp_path / "model" / "model.safetensors").unlink()
    _, again = run([LlmLabel(**settings, replay=True)], pool, tmp_path / "replay")
    assert again.equals(table)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"prompt": "no place"}, "once"),
        ({"scores": (1, 5), "classes": ("a", "b")}, "`scores` or `classes`"),
        ({}, "`scores` or `classes`"),
        ({"scores": (5, 1)}, "lower one first"),
        ({"classes": ("News", "news")}, "more than case"),
        ({"classes": ("a", "b"), "cache": "s3://bucket/answers"}, "allowed: a folder"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        LlmLabel(**{"model": "m", "prompt": RUBRIC, "cache": "c", **settings})
