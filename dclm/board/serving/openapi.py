"""The OpenAPI description of the board server: every path, parameter and answer."""

from __future__ import annotations

from functools import cache
from typing import Any

from dclm import __version__
from dclm.board.conform import MAX_RESULT_BYTES, schema
from dclm.board.serving.rescore import MAX_ITEMS_BYTES

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_TOKEN: list[dict[str, list[str]]] = [{"token": []}]
_SAME = {"304": {"description": "It has not changed since the given ETag."}}


@cache
def document() -> dict[str, Any]:
    """The description, as served at /openapi.json."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DCLM leaderboard",
            "version": __version__,
            "description": "Results of pretraining-data experiments. Every error answer has the field `error`.",
        },
        "paths": {
            "/api/results": {"get": _listing(), "post": _submit()},
            "/api/results.json": {"get": _listing()},
            "/api/results/{id}": {
                "parameters": [_ID],
                "get": {
                    "summary": "One result.json.",
                    "responses": {"200": _json("The result.", {"$ref": "#/components/schemas/result"}), **_failed(404)},
                },
                "delete": {
                    "summary": "Remove an entry from the board. Only its submitter and the board's administrator may.",
                    "security": _TOKEN,
                    "parameters": [{"name": "reason", "in": "query", "schema": {"type": "string"}}],
                    "responses": {"200": _json("It was removed.", _object("id", "removed")), **_failed(401, 403, 404)},
                },
            },
            "/api/results/{id}/items": {
                "parameters": [_ID],
                "put": {
                    "summary": "Send items.parquet, from which the board recomputes the scores of an entry.",
                    "security": _TOKEN,
                    "requestBody": {
                        "required": True,
                        "description": f"At most {MAX_ITEMS_BYTES} bytes.",
                        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                    },
                    "responses": {
                        "200": _json("The items reproduce the scores.", _object("id", "items", "answers_checked")),
                        **_failed(401, 403, 404, 413, 422, 507),
                    },
                },
            },
            "/": {"get": _page("The leaderboard.", "text/html")},
            "/results/{id}.html": {"parameters": [_ID], "get": _page("The page of one entry.", "text/html", 404)},
            "/results.csv": {"get": _page("One line per entry, including published results.", "text/csv")},
            "/results.json": {"get": _page("The same as JSON.", "application/json")},
            "/openapi.json": {"get": _page("This description.", "application/json")},
        },
        "components": {
            "schemas": {"result": _result_schema(), "error": _object("error")},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _listing() -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    page = {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}
    return {
        "summary": "The entries in order of arrival, in pages.",
        "parameters": [
            {"name": "offset", "in": "query", "schema": {**whole, "default": 0}},
            {"name": "limit", "in": "query", "schema": page},
        ],
        "responses": {
            "200": _json("One page of the entries.", _object("results", "total", "offset", "next", "broken")),
            **_SAME,
            **_failed(422),
        },
    }


def _submit() -> dict[str, Any]:
    return {
        "summary": "Send a result.json.",
        "security": _TOKEN,
        "requestBody": {
            "required": True,
            "description": f"At most {MAX_RESULT_BYTES} bytes.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/result"}}},
        },
        "responses": {
            "201": _json("It was added to the board.", _object("id", "created")),
            "200": _json("It was already on the board.", _object("id", "created")),
            **_failed(401, 403, 409, 413, 422, 507),
        },
    }


def _result_schema() -> dict[str, Any]:
    """The schema of a result, with its references rewritten to point into this document."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: _moved_reference(v) if k == "$ref" else moved(v) for k, v in value.items()}
        return [moved(item) for item in value] if isinstance(value, list) else value

    result: dict[str, Any] = moved(schema())
    return {key: value for key, value in result.items() if key not in ("$schema", "$id")}


def _moved_reference(reference: str) -> str:
    return reference.replace("#/$defs/", "#/components/schemas/result/$defs/")


def _page(summary: str, kind: str, *failures: int) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {kind: {}}}, **_SAME, **_failed(*failures)},
    }


def _json(description: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": of}}}


def _object(*names: str) -> dict[str, Any]:
    return {"type": "object", "required": list(names), "properties": {name: {} for name in names}}


_WHY = {
    401: "The token is wrong or missing.",
    403: "The board accepts no results, or the entry belongs to somebody else.",
    404: "There is no such entry.",
    409: "The same scores are already on the board.",
    413: "The body is too large.",
    422: "The upload is invalid; `problems` lists every problem.",
    507: "The board's disk is full.",
}


def _failed(*numbers: int) -> dict[str, Any]:
    return {str(n): _json(_WHY[n], {"$ref": "#/components/schemas/error"}) for n in numbers}
