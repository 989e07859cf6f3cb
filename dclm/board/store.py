"""Results in SQLite: what the board server keeps. Safe for many readers and writers at once (WAL)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from dclm.board.result import Result, parse_result
from dclm.core.errors import DataError

_TABLE = """
CREATE TABLE IF NOT EXISTS results (
    id TEXT PRIMARY KEY,
    scores_fingerprint TEXT UNIQUE,
    received TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    body TEXT NOT NULL
) STRICT
"""


class Stored(NamedTuple):
    """What became of a submission."""

    id: str
    created: bool
    """False where the same result was there already."""


class DuplicateError(DataError):
    """The same scores are on the board already, under another name or with other details."""


class Store:
    """The results in one SQLite file. Opens a connection for each call, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        """Raises: DataError if `path` is not a database."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._connect() as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            raise DataError(str(path), f"not a board's database: {error}") from None

    def add(self, result: Result) -> Stored:
        """Keep `result`; one that is there already is left alone.

        Raises: DuplicateError if another result has the same scores artifact.
        """
        scores = next((link.fingerprint for link in result.chain if link.kind == "scores"), None)
        body = json.dumps(result.to_json(), sort_keys=True)
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT 1 FROM results WHERE id = ?", (result.id,)).fetchone():
                return Stored(result.id, False)
            other = connection.execute("SELECT id FROM results WHERE scores_fingerprint = ?", (scores,)).fetchone()
            if other:
                what = f"these scores are on the board already, as result {other[0]}"
                raise DuplicateError(
                    "board", what, "one evaluation, one entry: ask the board's keeper to remove the old"
                )
            connection.execute(
                "INSERT INTO results (id, scores_fingerprint, body) VALUES (?, ?, ?)", (result.id, scores, body)
            )
        return Stored(result.id, True)

    def get(self, identity: str) -> Result | None:
        """The result of that id, if there is one."""
        with self._connect() as connection:
            row = connection.execute("SELECT body FROM results WHERE id = ?", (identity,)).fetchone()
        return parse_result(row[0].encode(), f"result {identity}") if row else None

    def all(self) -> list[Result]:
        """Every result, in order of arrival."""
        with self._connect() as connection:
            rows = connection.execute("SELECT id, body FROM results ORDER BY rowid").fetchall()
        return [parse_result(body.encode(), f"result {identity}") for identity, body in rows]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
