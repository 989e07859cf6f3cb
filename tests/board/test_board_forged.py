"""Results that a board refuses: texts that cannot be displayed, and impossible numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dclm.board.known.errors import bounds
from dclm.board.known.layout import count_layouts, layouts
from dclm.board.result import Result
from dclm.board.serving.server import make_app
from dclm.board.validate import validate
from dclm.core.errors import DataError
from dclm.eval.suite import load_suite

MakeResult = Callable[..., Result]
TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(make_app(tmp_path / "board.db", TOKEN)) as client:
        yield client


def complaints(value: object) -> str:
    with pytest.raises(DataError) as caught:
        validate(json.dumps(value).encode(), "r.json")
    return str(caught.value)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of the texts in a JSON value."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*path, i))


def put(value: Any, path: tuple[str | int, ...], text: str) -> Any:
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = text
    return changed


def full(make: MakeResult) -> dict[str, Any]:
    """A result with a text in every field that allows one."""
    value = make(incomplete=("documents x: part",), imported=None).to_json()
    value["training"]["deviations"] = ["something else"]  # type: ignore[index]
    value["data"]["counts"] = {"free": {"deep": ["text"]}}  # type: ignore[index]
    value["provenance"] = {"host": "somewhere", "list": ["text", {"x": "text"}]}
    return value


@pytest.mark.parametrize("bad", ["a\ud800b", "\udfff", "nul\u0000", "\u001b[31m", "\u009b"])
def test_no_text_that_a_page_cannot_hold_is_taken_in_any_field(make: MakeResult, client: TestClient, bad: str) -> None:
    value = full(make)
    assert client.post("/api/results", content=json.dumps(value), headers=BEARER).status_code == 201
    found = list(places(value))
    assert len(found) > 30
    for path in found:
        answer = client.post("/api/results", content=json.dumps(put(value, path, bad)), headers=BEARER)
        assert answer.status_code == 422, path
        answer.json()
    for key in ("provenance", "data"):
        answer = client.post(
            "/api/results", content=json.dumps({**value, key: {**value[key], "counts": {bad: 1}}}), headers=BEARER
        )
        assert answer.status_code == 422
    assert client.get("/api/results").json()["total"] == 1
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (("limited",), "5.0"),
        (("schema_version",), "1.0"),
        (("suite", "version"), "2.0"),
        (("training", "params"), "2000000.0"),
        (("training", "seed"), "0.0"),
        (("scores", "copa", "n"), "100.0"),
        (("scores", "copa", "n"), "true"),
        (("training", "flops"), "1e999"),
        (("core_v2",), "-1e999"),
        (("provenance", "x"), "1e999"),
        (("provenance", "x"), "9" * 5000),
    ],
)
def test_a_number_of_the_wrong_kind_is_refused_and_no_fault_of_the_server(
    make: MakeResult, client: TestClient, path: tuple[str, ...], number: str
) -> None:
    text = json.dumps(put(make().to_json(), path, "@@")).replace('"@@"', number)
    answer = client.post("/api/results", content=text, headers=BEARER)
    if path == ("schema_version",):
        assert answer.status_code in (201, 422)  # 1.0 is the constant 1 in JSON schema
    else:
        assert answer.status_code == 422


def test_deep_nests_are_refused(make: MakeResult) -> None:
    deep: object = 1
    for _ in range(500):
        deep = {"x": deep}
    assert "levels deep" in complaints(make().to_json() | {"provenance": deep})


FORGED: list[tuple[str, tuple[str | int, ...], object, str]] = [
    ("an invented suite", ("suite", "name"), "zzz", "unknown suite zzz"),
    ("another version", ("suite", "version"), 999, "version 999"),
    ("another hash", ("suite", "hash"), "0" * 64, "the hash is not that of extended"),
    ("no hash", ("suite", "hash"), None, "the hash is not that of extended"),
    ("a smaller suite", ("suite", "name"), "light", "scores"),
    ("more items than there are", ("scores", "copa", "n"), 999_999_999, "found 999999999 items, allowed: 100"),
    ("fewer items", ("scores", "copa", "n"), 50, "found 50 items"),
    ("no number of items", ("scores", "copa", "n"), None, "n is null"),
    ("no error at all", ("scores", "arc_easy", "stderr"), 0.0, "standard error 0"),
    ("a small error", ("scores", "arc_easy", "stderr"), 0.001, "standard error 0.001"),
    ("a large error", ("scores", "arc_easy", "stderr"), 0.3, "standard error 0.3"),
    ("a mean without error", ("core_v2_stderr",), 0.0, "core_v2_stderr"),
    ("a large error of the mean", ("core_v2_stderr",), 0.2, "core_v2_stderr"),
    ("half an item", ("scores", "copa", "score"), 0.505, "not a whole number of 100 items"),
    ("an unknown text", ("perplexity",), {"mine": {"bits_per_byte": 1, "stderr": 0, "bytes": 5}}, "unknown text"),
    ("one parameter", ("training", "params"), 1, "training.params: found 1"),
    ("other tokens", ("training", "tokens"), 10**9, "training.tokens"),
    ("no tokens", ("training", "tokens"), None, "training.tokens"),
    ("a scale made by hand", ("training", "scale"), "mine_1x", "unknown scale mine_1x"),
    ("another scale's rate", ("training", "settings", "learning_rate"), 0.5, "settings.learning_rate\nfound 0.5"),
    ("another width", ("training", "settings", "model.hidden_dim"), 4096, "settings.model.hidden_dim"),
]


@pytest.mark.parametrize(("path", "value", "said"), [f[1:] for f in FORGED], ids=[f[0] for f in FORGED])
def test_what_cannot_be_is_named(make: MakeResult, path: tuple[str | int, ...], value: Any, said: str) -> None:
    assert said in complaints(put(make(scale="411m_1x").to_json(), path, value))


def test_a_perfect_score_with_an_invented_chain_is_never_ranked(make: MakeResult, client: TestClient) -> None:
    perfect = make(accuracy=1.0, scale="411m_1x")
    assert client.post("/api/results", content=json.dumps(perfect.to_json()), headers=BEARER).status_code == 201
    (entry,) = client.get("/api/results").json()["results"]
    assert entry["standing"] == "apart"
    assert entry["reasons"] == ["not re-scored"]


def test_a_declared_deviation_is_taken_and_kept_apart(make: MakeResult, client: TestClient) -> None:
    value: Any = make(scale="411m_1x").to_json()
    value["training"] |= {"tokens": 10**9, "flops": 6e9 * value["training"]["params"], "deviations": ["fewer tokens"]}
    assert client.post("/api/results", content=json.dumps(value), headers=BEARER).status_code == 201
    assert "off the benchmark" in client.get("/api/results").json()["results"][0]["reasons"]


def test_limited_items_are_counted_by_category(make: MakeResult) -> None:
    value: Any = make().to_json()
    value["limited"] = 5
    for task in load_suite("extended").tasks:
        n = len(layouts()[task.task].categories or (1,)) * 5 if task.task in layouts() else 5
        value["scores"][task.task] |= {"n": n, "score": 0.4, "stderr": None}
    value["scores"]["copa"]["n"] = 100
    text = complaints(value)
    assert "scores.copa: found 100 items, allowed: 5 with 5 per task or category" in text
    assert text.count("allowed: 5") == 1
    assert "mmlu" not in text


@pytest.mark.parametrize("task", [t.task for t in load_suite("extended").tasks])
def test_the_bounds_of_an_error_hold_the_binomial_one(task: str) -> None:
    layout = layouts().get(task)
    rows = load_suite("extended").tasks[load_suite("extended").labels.index(task)].metadata.data.rows
    for right in {1, rows // 3, rows // 2, rows - 1}:
        score = right / rows
        low, high = bounds(score, rows, rows, layout)
        assert 0 < low <= (score * (1 - score) / (rows - 1)) ** 0.5 * 1.0001 <= high * 1.001


@pytest.mark.shared
def test_the_layouts_are_those_of_the_task_data(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.setenv("DCLM_SHARED", str(shared))
    counted = count_layouts()
    assert len(counted) == 51
    assert counted == layouts()
