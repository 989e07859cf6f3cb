"""The results of the board server in SQLite. Safe for many readers and writers at once (WAL)."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from dclm.board.entry import Broken, Entry, Rescored, evaluation_of
from dclm.board.result import Result, parse_stored
from dclm.core.errors import DataError

KEEPER = "keeper"
"""The submitter name for actions on the board's own machine, or with the token that the server was started with."""
_BUSY_SECONDS = 30.0
"""How long a process waits for other writers."""
_NOW = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS results (
    id TEXT PRIMARY KEY,
    scores_fingerprint TEXT UNIQUE,
    received TEXT NOT NULL DEFAULT ({_NOW}),
    body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS submitters (
    name TEXT PRIMARY KEY,
    token_sha256 TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL DEFAULT ({_NOW}),
    revoked TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS audit (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL DEFAULT ({_NOW}),
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
"""
_LATER = ("evaluation", "submitter", "rescored")
"""Columns of `results` that early boards lack."""


class Stored(NamedTuple):
    """The outcome of a submission."""

    id: str
    created: bool
    """False if the same result was already stored."""


class AuditLine(NamedTuple):
    """One entry of the board's audit log."""

    at: str
    who: str
    action: str
    subject: str
    detail: str


class DuplicateError(DataError):
    """The same scores are already on the board, under another name or with other details."""


class NotYoursError(DataError):
    """The entry was submitted by somebody else."""


class FullError(DataError):
    """The disk is full, or the board has reached its size limit."""


class ResultStore:
    """The results in one SQLite file. Opens a connection for each call, so that threads may share it."""

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """`max_bytes`: maximum size of the file. Raises: DataError if `path` is not a database."""
        self._path, self._max_bytes = path, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.connect() as connection:
                _use_wal(connection)
                connection.executescript(_TABLES)
                _add_columns(connection)
        except sqlite3.DatabaseError as error:
            raise DataError(str(path), f"not a board's database: {error}") from None

    def add(self, result: Result, submitter: str = KEEPER) -> Stored:
        """Store `result`; an existing entry is left unchanged.

        Raises: DuplicateError if another result has the same scores artifact, or if it is an imported evaluation whose
        scores are already on the board; FullError.
        """
        scores = next((link.fingerprint for link in result.chain if link.kind == "scores"), None)
        body = json.dumps(result.to_json(), sort_keys=True)
        evaluation = evaluation_of(result)
        with self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT 1 FROM results WHERE id = ?", (result.id,)).fetchone():
                return Stored(result.id, False)
            other = connection.execute("SELECT id FROM results WHERE scores_fingerprint = ?", (scores,)).fetchone()
            if other is None and result.imported is not None:
                other = connection.execute("SELECT id FROM results WHERE evaluation = ?", (evaluation,)).fetchone()
            if other:
                what = f"these scores are already on the board, as result {other[0]}"
                hint = "an evaluation may have only one entry; its submitter can remove it with `dclm board remove`"
                raise DuplicateError("board", what, hint)
            connection.execute(
                "INSERT INTO results (id, scores_fingerprint, body, evaluation, submitter) VALUES (?, ?, ?, ?, ?)",
                (result.id, scores, body, evaluation, submitter),
            )
            _audit(connection, submitter, "add", result.id, result.name)
        return Stored(result.id, True)

    def set_rescored(self, identity: str, rescored: Rescored, submitter: str) -> None:
        """Mark an entry as re-scored from its items. Raises: DataError, NotYoursError."""
        with self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            _check_owner(connection, identity, submitter)
            value = json.dumps(dataclasses.asdict(rescored))
            connection.execute("UPDATE results SET rescored = ? WHERE id = ?", (value, identity))
            _audit(connection, submitter, "re-score", identity, rescored.sha256)

    def check_owner(self, identity: str, submitter: str) -> None:
        """Raises: NotYoursError if the entry is somebody else's; DataError if none exists."""
        with self.connect() as connection:
            _check_owner(connection, identity, submitter)

    def exists(self, identity: str) -> bool:
        """Whether there is an entry with that id, readable or not."""
        with self.connect() as connection:
            return connection.execute("SELECT 1 FROM results WHERE id = ?", (identity,)).fetchone() is not None

    def remove(self, identity: str, submitter: str, reason: str) -> None:
        """Remove an entry from the board; the audit log gets a line. The administrator may remove any entry.

        Raises: NotYoursError if it is somebody else's; DataError if none exists.
        """
        with self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            _check_owner(connection, identity, submitter)
            connection.execute("DELETE FROM results WHERE id = ?", (identity,))
            _audit(connection, submitter, "remove", identity, reason)

    def get(self, identity: str) -> Entry | None:
        """The entry with that id, if there is one. Raises: DataError if it is not readable."""
        with self.connect() as connection:
            row = connection.execute(f"{_SELECT} WHERE id = ?", (identity,)).fetchone()
        return _entry(row) if row else None

    def entries(self, known: Mapping[str, Entry] | None = None) -> tuple[list[Entry], list[Broken]]:
        """Every entry, in order of arrival, and the entries that are not readable, which do not hide any others.

        `known`: entries that were read before, by id; of these, only what can change is read again.
        """
        with self.connect() as connection:
            states = connection.execute("SELECT id, rescored FROM results ORDER BY rowid").fetchall()
            entries: list[Entry] = []
            broken: list[Broken] = []
            for identity, rescored in states:
                entry = (known or {}).get(identity)
                if entry is not None:
                    entries.append(dataclasses.replace(entry, rescored=_rescored(rescored)))
                    continue
                row = connection.execute(f"{_SELECT} WHERE id = ?", (identity,)).fetchone()
                try:
                    entries.append(_entry(row))
                except DataError as error:
                    broken.append(Broken(id=identity, problem=error.problems[0].what))
        return entries, broken

    def body(self, identity: str) -> str | None:
        """The JSON of one result as it is stored."""
        with self.connect() as connection:
            row = connection.execute("SELECT body FROM results WHERE id = ?", (identity,)).fetchone()
        return None if row is None else str(row[0])

    def all(self) -> list[Result]:
        """Every readable result, in order of arrival."""
        return [entry.result for entry in self.entries()[0]]

    def version(self) -> int:
        """A number that grows with every change."""
        with self.connect() as connection:
            row = connection.execute("SELECT coalesce(max(line), 0) FROM audit").fetchone()
        return int(row[0])

    def audit(self) -> list[AuditLine]:
        """The audit log, oldest entry first."""
        with self.connect() as connection:
            rows = connection.execute("SELECT at, who, action, subject, detail FROM audit ORDER BY line").fetchall()
        return [AuditLine(*row) for row in rows]

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A connection whose transaction is committed if the block succeeds. Raises: FullError."""
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            if self._max_bytes is not None:
                size = connection.execute("PRAGMA page_size").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {max(1, self._max_bytes // size)}")
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                    raise FullError(
                        "board", "the space for results is used up", "the board's administrator can free some"
                    ) from None
                raise
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


_SELECT = "SELECT id, body, submitter, received, rescored FROM results"


def _entry(row: tuple[str, str, str | None, str, str | None]) -> Entry:
    identity, body, submitter, received, rescored = row
    try:
        data = body.encode()
    except UnicodeEncodeError:
        raise DataError(f"result {identity}", "it contains text that is not Unicode") from None
    return Entry(
        result=parse_stored(data, f"result {identity}"),
        submitter=submitter,
        received=received,
        key=identity,
        rescored=_rescored(rescored),
    )


def _rescored(text: str | None) -> Rescored | None:
    return None if text is None else Rescored(**json.loads(text))


def _check_owner(connection: sqlite3.Connection, identity: str, submitter: str) -> None:
    row = connection.execute("SELECT submitter FROM results WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise DataError("board", f"no such result: {identity[:40]}")
    if submitter not in (KEEPER, row[0]):
        raise NotYoursError("board", f"result {identity} was sent by somebody else")


def _audit(connection: sqlite3.Connection, who: str, action: str, subject: str, detail: str) -> None:
    values = (who, action, subject, detail)
    connection.execute("INSERT INTO audit (who, action, subject, detail) VALUES (?, ?, ?, ?)", values)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for its turn here, so the switch is tried again."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _add_columns(connection: sqlite3.Connection) -> None:
    """Bring a board of an earlier version up to date. Unreadable entries remain without an evaluation."""
    connection.execute("BEGIN IMMEDIATE")
    present = {row[1] for row in connection.execute("PRAGMA table_info(results)")}
    for column in _LATER:
        if column not in present:
            connection.execute(f"ALTER TABLE results ADD COLUMN {column} TEXT")
    connection.execute("CREATE INDEX IF NOT EXISTS by_evaluation ON results (evaluation)")
    for row in connection.execute(f"{_SELECT} WHERE evaluation IS NULL").fetchall():
        try:
            evaluation = evaluation_of(_entry(row).result)
        except DataError:
            evaluation = "unreadable"
        connection.execute("UPDATE results SET evaluation = ? WHERE id = ?", (evaluation, row[0]))
