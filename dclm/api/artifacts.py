"""Opened artifacts: their kind, provenance and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dclm.api.html import render_table
from dclm.api.table import Table
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import RECORD, Kind, Record, read_record
from dclm.core.stores.store import absolute, exists, join, local_file, read_bytes
from dclm.documents.artifact import Artifact as DocumentsArtifact
from dclm.documents.why import Fate, fates
from dclm.eval.aggregate import centred
from dclm.recipe.layout import RESULT, artifacts_of_run


class Artifact:
    """The output of a stage: a directory (or URL) with a `record.json`."""

    def __init__(self, path: str | Path) -> None:
        """Raises: IncompleteError if `path` is not a finished artifact."""
        self.path = absolute(path)
        self.record: Record = read_record(self.path)

    @property
    def kind(self) -> Kind:
        return self.record.kind

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def fingerprint(self) -> str:
        """sha256 of everything that determined its content: the same work has the same fingerprint everywhere."""
        return self.record.fingerprint

    @property
    def counts(self) -> Mapping[str, object]:
        """The counts in its record."""
        return self.record.counts

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}): {self.name}, {self.fingerprint[:12]}"

    def _repr_html_(self) -> str:
        rows = [(k, v) for k, v in self.counts.items() if isinstance(v, int | float | str)]
        return render_table(f"{self.kind} · {self.name}", ("count", "value"), rows, self.path)


class Documents(Artifact):
    """The output of `dclm.curate`: the documents that were kept, and a ledger of every record that was read."""

    def __init__(self, path: str | Path) -> None:
        """Raises: also ConfigError for an artifact of another kind."""
        super().__init__(path)
        self._artifact = DocumentsArtifact(self.path)

    @property
    def documents(self) -> Table:
        """The documents that were kept: `id`, `url`, `date`, `source`, `text`, and the annotations of steps."""
        return Table("documents", self._artifact.files("documents"))

    @property
    def ledger(self) -> Table:
        """One row per record read, in order: the step at which it left (null: kept), and why."""
        return Table("ledger", self._artifact.files("ledger"))

    @property
    def samples(self) -> Table:
        """Some of the documents that each step dropped, with their texts."""
        return Table("samples", self._artifact.files("samples"))

    @property
    def waterfall(self) -> Table:
        """One row per step, the reader first: number of documents read, dropped, rejected and passed on."""
        rows = [
            {
                "index": s.index,
                "step": s.name,
                "settings": s.settings,
                "documents_in": s.documents_in,
                "dropped": s.dropped,
                "rejected": s.rejected,
                "documents_out": s.documents_out,
                "bytes_out": s.bytes_out,
            }
            for s in self._artifact.steps
        ]
        return Table("waterfall", pa.Table.from_pylist(rows))

    def why(self, what: str) -> list[Fate]:
        """What happened to the records with this id or URL. Raises: DataError if no record has it."""
        return fates(self.path, what)

    def __len__(self) -> int:
        return self._artifact.count("kept")

    def _repr_html_(self) -> str:
        count = self._artifact.count
        title = f"documents · {self.name}: {count('kept'):,} of {count('read'):,} kept"
        steps = self.waterfall.to_arrow().to_pylist()
        columns = ("index", "step", "settings", "documents_in", "dropped", "rejected", "documents_out")
        return render_table(title, columns, ([s[c] for c in columns] for s in steps), self.path)


class Tokens(Artifact):
    """The output of `dclm.tokenize`: shuffled rows of token ids."""


class Checkpoint(Artifact):
    """The output of `dclm.train`: a model and its training metrics."""

    @property
    def metrics(self) -> Table:
        """One row per logged update: losses, learning rate, speed."""
        path = local_file(join(self.path, "metrics.jsonl"))
        lines = path.read_text(encoding="utf-8").splitlines()
        return Table("metrics", pa.Table.from_pylist([json.loads(line) for line in lines]))


class Scores(Artifact):
    """The output of `dclm.evaluate`: accuracies with errors, and every item."""

    @cached_property
    def scores(self) -> Mapping[str, Any]:
        """The content of scores.json."""
        found: Mapping[str, Any] = json.loads(local_file(join(self.path, "scores.json")).read_text(encoding="utf-8"))
        return found

    @property
    def core(self) -> float | None:
        """CORE v2; None if one of its tasks has no score (`missing` says which)."""
        value: float | None = self.scores["core_v2"]
        return value

    @property
    def core_bpb(self) -> float | None:
        """Bits per byte of the right answers, mean over CORE; None if a task has none, or the scores are older."""
        value: float | None = self.scores.get("core_bpb")
        return value

    @property
    def missing(self) -> Mapping[str, str]:
        """Task without a score → the reason."""
        reasons: Mapping[str, str] = self.scores["reasons"]
        return reasons

    @property
    def tasks(self) -> Table:
        """One row per task: items, shots, accuracy with its error and 95 % interval, continuous scores."""
        rows = [
            {
                "task": label,
                "items": task["n"],
                "shots": task["num_fewshot"],
                "accuracy": task["accuracy"],
                "centered": centred(task["accuracy"], task["baseline"]["v2"]),
                "standard_error": task["standard_error"],
                "low": task["interval"][0],
                "high": task["interval"][1],
                **{metric: each["value"] if each else None for metric, each in task.get("continuous", {}).items()},
            }
            for label, task in self.scores["tasks"].items()
        ]
        return Table("tasks", pa.Table.from_pylist(rows))

    @property
    def items(self) -> Table:
        """One row per item that was scored."""
        return Table("items", [local_file(join(self.path, "items.parquet"))])

    def _repr_html_(self) -> str:
        core = "null" if self.core is None else f"{self.core:.4f}"
        table = self.tasks.to_arrow()
        note = f"without a score: {', '.join(self.missing)}" if self.missing else ""
        rows = (list(row.values()) for row in table.to_pylist())
        return render_table(f"scores · CORE {core}", table.column_names, rows, note)


class RunDirectory:
    """The directory of `dclm.run`: everything that a recipe has made so far."""

    def __init__(self, path: str | Path) -> None:
        """Raises: DataError if no stage of a recipe has finished at `path`."""
        self.path = absolute(path)
        self.artifacts: Mapping[str, Artifact] = {
            name: open_artifact(address)  # type: ignore[misc]
            for name, address in artifacts_of_run(self.path).items()
        }
        """Path in the run, such as `documents/web` or `train` → the artifact."""
        if not self.artifacts:
            raise DataError(self.path, "no stage of a run has finished here", "pass the --out of `dclm run`")

    @property
    def documents(self) -> Mapping[str, Documents]:
        """Source → its documents."""
        return {n.partition("/")[2]: a for n, a in self.artifacts.items() if isinstance(a, Documents)}

    @property
    def tokens(self) -> Artifact | None:
        return self.artifacts.get("tokens")

    @property
    def checkpoint(self) -> Checkpoint | None:
        found = self.artifacts.get("train")
        return found if isinstance(found, Checkpoint) else None

    @property
    def scores(self) -> Scores | None:
        found = self.artifacts.get("scores")
        return found if isinstance(found, Scores) else None

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The content of result.json, for a leaderboard; None before the last stage."""
        content = read_bytes(join(self.path, RESULT))
        return None if content is None else json.loads(content)

    def __repr__(self) -> str:
        return f"RunDirectory({self.path!r}): {', '.join(self.artifacts)}"

    def _repr_html_(self) -> str:
        rows = [(n, a.kind, a.name, a.fingerprint[:12]) for n, a in self.artifacts.items()]
        return render_table(f"run · {self.path}", ("where", "kind", "name", "fingerprint"), rows)


_KINDS: dict[str, type[Artifact]] = {
    "documents": Documents,
    "tokens": Tokens,
    "checkpoint": Checkpoint,
    "scores": Scores,
}


def open_artifact(path: str | Path) -> Artifact | RunDirectory:
    """The artifact at `path`, opened as its kind: Documents, Tokens, Checkpoint, Scores; or the directory of a run.

    Raises: IncompleteError if it is neither.
    """
    if not exists(join(path, RECORD)) and artifacts_of_run(absolute(path)):
        return RunDirectory(path)
    return _KINDS.get(read_record(absolute(path)).kind, Artifact)(path)


def expect(kind: type[Artifact], path: str | Path | Artifact) -> str:
    """The path of an artifact, given as itself or as a path. Raises: ConfigError for one of another kind."""
    if isinstance(path, Artifact) and not isinstance(path, kind):
        raise ConfigError(path.path, f"found {path.kind}, allowed: {kind.__name__.lower()}")
    return str(path)
