"""HTTP that slow and idle clients cannot block: deadlines for headers, body and answer, and a limit on connections.

uvicorn waits for headers forever, and its own limit counts half-open connections: with enough of them, every request is
answered 503. Here, a connection that has not sent its whole request in time is closed, and if too many are open, the
one that has been waiting longest for a request is closed in favor of the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Seconds from the connection, or from the previous answer, to the end of a request's headers."""
BODY_SECONDS = 60.0
"""Seconds for the rest of a request; items have at most 64 MiB."""
ANSWER_SECONDS = 300.0
"""Seconds until the client has the answer; re-scoring a large result takes up to four minutes."""
KEEP_ALIVE_SECONDS = 5
MAX_CONNECTIONS = 400
_RESERVED = 100  # descriptors for the database, children and libraries
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class GuardedProtocol(H11Protocol):
    """One connection, and the deadline of its current phase."""

    waiting: dict[GuardedProtocol, None] = {}  # noqa: RUF012
    """Connections without a complete request, oldest first, of all servers in the process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._doing: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > max_connections():
            oldest = next(iter(self.waiting), self)
            oldest.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def drop(self) -> None:
        """Close the connection at once."""
        self.waiting.pop(self, None)
        self.transport.abort()

    def _watch(self) -> None:
        """Reset the deadline if the connection has begun a new phase."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            doing, seconds = ("headers", id(cycle)), HEADER_SECONDS
        elif cycle.more_body:
            doing, seconds = ("body", id(cycle)), BODY_SECONDS
        else:
            doing, seconds = ("answer", id(cycle)), ANSWER_SECONDS
        if doing == self._doing:
            return
        self._doing = doing
        if doing[0] == "answer":
            self.waiting.pop(self, None)
        else:
            self.waiting.setdefault(self)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._doing[0] == "headers" and not self.transport.is_closing():
            with contextlib.suppress(RuntimeError):  # raised if the other side is already gone
                self.transport.write(_TOO_LATE)
            self.transport.close()
            self._timer = self.loop.call_later(KEEP_ALIVE_SECONDS, self.drop)
        else:
            self.drop()


def max_connections() -> int:
    """Maximum number of open connections: never more than there are descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, soft - _RESERVED)) if soft != resource.RLIM_INFINITY else MAX_CONNECTIONS


def configure(app: Any, host: str, port: int) -> uvicorn.Config:
    """Settings of a board server. Only errors are logged, to stderr or where the process sends its log: uvicorn's own
    configuration would close all handlers of the process."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=16 << 10,
        backlog=256,
        log_config=None,
        log_level="error",
        server_header=False,
    )
