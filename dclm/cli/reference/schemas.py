"""JSON Schemas of what artifacts hold: records, ledger rows, scores.json and result.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dclm.core.schema import json_schema


def artifact_schemas() -> Mapping[str, dict[str, Any]]:
    """Name of each kind of file or row → its schema."""
    from dclm.board.conform import schema as result_schema
    from dclm.core.counts import COUNTS
    from dclm.core.record import Record
    from dclm.documents.schema import LEDGER
    from dclm.eval.scores_file import ScoresFile

    counts = [_if_of_kind(kind, counts) for kind, counts in COUNTS.items()]
    about = "One row of a ledger. Annotations that steps have added follow."
    return {
        "record": json_schema(Record) | {"allOf": counts},
        "ledger": _row_schema(LEDGER) | {"description": about},
        "scores": json_schema(ScoresFile),
        "result": {name: part for name, part in result_schema().items() if name not in ("$schema", "title")},
    }


def _if_of_kind(kind: str, counts: type) -> dict[str, Any]:
    """The counts of a record of this kind."""
    return {
        "if": {"properties": {"kind": {"const": kind}}},
        "then": {"properties": {"counts": json_schema(counts)}},
    }


def _row_schema(table: pa.Schema) -> dict[str, Any]:
    """A row of a table, as `to_pylist` gives it; other columns may follow."""
    properties = {field.name: _value_schema(field.type, field.nullable) for field in table}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _value_schema(kind: pa.DataType, nullable: bool) -> dict[str, Any]:
    if pa.types.is_string(kind):
        name = "string"
    else:
        name = "integer" if pa.types.is_integer(kind) else "number"
    return {"type": [name, "null"] if nullable else name}
