"""The JSON documents that commands print with `--json`: their fields and what these mean.

A command hands its result to `dclm.cli.shared.output.put_result`. What it hands over is described in answers.yaml,
shown in docs/cli.md, and compared with what each command prints by tests/cli/test_cli_json.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dclm.cli.shared.output import put_result
from dclm.core.record import Record


class Answer(NamedTuple):
    """The document of a command: an object, or a list of objects."""

    fields: Mapping[str, str]
    """Field → meaning. A name in braces stands for any number of fields, whose names are of that kind."""
    each: str | None = None
    """A list with one object for each of these."""
    when: str | None = None
    """When the command prints this instead of its first document."""

    def fits(self, document: object) -> bool:
        """Whether a document has these fields, all of them and no others."""
        objects = document if self.each is not None else [document]
        return isinstance(objects, list) and all(map(self._fits, objects))

    def _fits(self, found: object) -> bool:
        named = {name for name in self.fields if not name.startswith("{")}
        if not isinstance(found, dict) or not named <= found.keys():
            return False
        return named == found.keys() or len(named) < len(self.fields)


@cache
def answers() -> Mapping[str, tuple[Answer, ...]]:
    """Command → its documents."""
    import yaml

    given = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {command: tuple(_answer(each, given) for each in documents) for command, documents in given.items()}


def _answer(document: dict[str, Any], given: Mapping[str, Any]) -> Answer:
    return Answer(**(given[document["as"]][0] if "as" in document else document))


def artifact_value(address: str | Path, record: Record) -> dict[str, object]:
    """An artifact in the document of a command that made it."""
    return {
        "artifact": str(address),
        "kind": record.kind,
        "name": record.name,
        "fingerprint": record.fingerprint,
        "counts": record.counts,
        "missing": record.missing,
    }


def put_artifact(address: str | Path, record: Record, text: object = None) -> None:
    """Print the artifact that a command made. text: for people; None if it was already printed on stderr."""
    put_result(artifact_value(address, record), text)
