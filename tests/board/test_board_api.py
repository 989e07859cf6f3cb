"""The API conforms to its OpenAPI document, whatever is sent to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from starlette.testclient import TestClient

from dclm.board.result import Result
from dclm.board.serving.openapi import document
from dclm.board.serving.server import make_app

MakeResult = Callable[..., Result]
TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


OPERATIONS = [(path, method) for path, item in document()["paths"].items() for method in item if method != "parameters"]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(tmp_path_factory.mktemp("api") / "board.db", TOKEN))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(schema: schemathesis.BaseSchema, path: str, method: str) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy(), known=st.booleans())
    def check(case: schemathesis.Case, known: bool) -> None:
        case.call_and_validate(headers=BEARER if known else {}, checks=CHECKS)

    check()


def test_the_document_names_every_route(tmp_path: Path) -> None:
    app = make_app(tmp_path / "board.db", TOKEN)
    served = {
        (route.path.replace(":str", ""), method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method) for path, item in document()["paths"].items() for method in item if method != "parameters"
    }
    assert described == served


def test_the_schema_in_the_document_takes_what_the_board_takes(make: MakeResult) -> None:
    whole = {**document(), "$ref": "#/components/schemas/result"}
    jsonschema.Draft202012Validator(whole).validate(make().to_json())


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/api/results"), ("POST", "/"), ("GET", "/nothing")])
def test_errors_of_routing_are_json_too(tmp_path: Path, method: str, path: str) -> None:
    with TestClient(make_app(tmp_path / "board.db", TOKEN)) as client:
        answer = client.request(method, path)
        assert answer.status_code in (404, 405)
        assert json.loads(answer.content)["error"]
