"""Who may send results to a board: one revocable token per submitter name, stored as a hash."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from typing import NamedTuple

from dclm.board.serving.store import KEEPER, ResultStore
from dclm.core.errors import ConfigError

MIN_TOKEN_LENGTH = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class Submitter(NamedTuple):
    """Somebody who holds or once held a token."""

    name: str
    created: str
    revoked: str | None


class Submitters:
    """The submitters of the board in `store`, and the administrator, who holds the server's own token, if it has
    one."""

    def __init__(self, store: ResultStore, keeper_token: str | None = None) -> None:
        self._store = store
        self._keeper = None if keeper_token is None else _hash(keeper_token)

    def create(self, name: str) -> str:
        """A new token, which is shown once and stored nowhere. Raises: ConfigError if the name is taken or invalid."""
        if not _NAME.fullmatch(name) or name == KEEPER:
            what = "allowed: up to 64 letters, digits and _ . @ -, and not keeper"
            raise ConfigError(f"submitter {name[:70]!r}", what)
        token = secrets.token_urlsafe(32)
        try:
            with self._store.connect() as connection:
                connection.execute("INSERT INTO submitters (name, token_sha256) VALUES (?, ?)", (name, _hash(token)))
        except sqlite3.IntegrityError:
            hint = "a name is never reused, even after its token was revoked"
            raise ConfigError(f"submitter {name}", "this name is already taken", hint) from None
        return token

    def revoke(self, name: str) -> None:
        """Revoke the token of `name`. Raises: ConfigError if there is no such submitter."""
        with self._store.connect() as connection:
            now = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
            done = connection.execute(
                f"UPDATE submitters SET revoked = {now} WHERE name = ? AND revoked IS NULL", (name,)
            )
        if done.rowcount == 0:
            known = ", ".join(s.name for s in self.all() if s.revoked is None) or "nobody"
            raise ConfigError(f"submitter {name[:70]}", f"has no token; submitters with a token: {known}")

    def all(self) -> list[Submitter]:
        """All submitters, including those with revoked tokens."""
        with self._store.connect() as connection:
            rows = connection.execute("SELECT name, created, revoked FROM submitters ORDER BY name").fetchall()
        return [Submitter(*row) for row in rows]

    def find(self, token: str) -> str | None:
        """The name of a token's owner; None if the token is unknown or revoked. Only hashes are compared."""
        given = _hash(token)
        if self._keeper is not None and secrets.compare_digest(given, self._keeper):
            return KEEPER
        with self._store.connect() as connection:
            row = connection.execute(
                "SELECT name FROM submitters WHERE token_sha256 = ? AND revoked IS NULL", (given,)
            ).fetchone()
        return None if row is None else str(row[0])

    def anybody(self) -> bool:
        """Whether there is any token that the board accepts."""
        return self._keeper is not None or any(s.revoked is None for s in self.all())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
