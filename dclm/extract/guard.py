"""Parses pages in a child process with a deadline and a memory limit, so that no page can take down its worker."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import IO

from dclm.extract.child import HEAD, LENGTH_BYTES, READY, TEXT
from dclm.extract.extractors import ExtractorName

_PIPE_BYTES = 1 << 19  # most risky pages; an unprivileged user has 64 MiB for all pipes
_START_SECONDS = 120.0  # imports take a second; more on a very busy machine


class ExtractionError(Exception):
    """The page cannot be extracted; the message is the reason for its reject."""


class KilledError(ExtractionError):
    """The page cost a whole process: it took too long, or the process died of it."""


class Guard:
    """One extractor in one child process, which is started when first needed and again after it was killed.

    Must not be used from several threads at once.
    """

    def __init__(
        self, name: ExtractorName, timeout_seconds: float, max_memory_bytes: int, packages: Path | None = None
    ) -> None:
        """`packages`: a directory of packages that the child imports instead of the installed ones."""
        limits = [
            str(max_memory_bytes),
            str(2 * timeout_seconds),
        ]  # the child has its own deadline in case this process dies
        self._command = [sys.executable, "-m", "dclm.extract.child", name, *limits]
        self._environment = dict(os.environ)
        if packages is not None:
            paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._timeout_seconds = timeout_seconds
        self._max_memory_bytes = max_memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., Guard] | None = None
        self.child_seconds = 0.0
        """CPU seconds of the running child, as of its last page."""
        _GUARDS.add(self)

    def extract(self, page: bytes | memoryview) -> str:
        """The text of a page in UTF-8.

        Raises: ExtractionError if the parser reports an error, KilledError if it dies or takes too long; RuntimeError
        if the process cannot be started, so that no page is blamed for that.
        """
        process = self._running()
        assert process.stdin is not None
        deadline = time.monotonic() + self._timeout_seconds
        try:
            process.stdin.write(len(page).to_bytes(LENGTH_BYTES, "little"))
            process.stdin.write(page)
            process.stdin.flush()
            status, self.child_seconds, size = HEAD.unpack(self._receive(process, HEAD.size, deadline))
            reply = self._receive(process, size, deadline).decode("utf-8")
        except TimeoutError:
            self.close()
            raise KilledError("timeout") from None
        except (BrokenPipeError, EOFError):
            process.wait()
            self.close()
            limit = self._max_memory_bytes >> 20
            raise KilledError(f"parser failed: it died or needed more than {limit} MiB") from None
        if status != TEXT:
            self.close()  # a parser that ran out of memory may not release it
            raise ExtractionError(f"parser failed: {reply}")
        return reply

    def close(self) -> None:
        """Kill the child, if any."""
        if self._finalizer is not None:
            self._finalizer()
        self._process, self._finalizer, self.child_seconds = None, None, 0.0

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=self._environment
            )
            self._finalizer = weakref.finalize(self, _kill, self._process)
            _widen(self._process.stdin)
            try:
                ready = self._receive(self._process, 1, time.monotonic() + _START_SECONDS)
            except (EOFError, TimeoutError):
                self.close()
                raise RuntimeError(f"the process does not start: {' '.join(self._command)}") from None
            assert ready == READY
        return self._process

    @staticmethod
    def _receive(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        parts: list[bytes] = []
        while size > 0:
            ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            data = os.read(handle, min(size, 1 << 20))
            if not data:
                raise EOFError
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


_GUARDS: weakref.WeakSet[Guard] = weakref.WeakSet()


def cpu_seconds() -> float:
    """CPU seconds of this process and its children: those that have ended, and those of guards as of their last
    pages."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(guard.child_seconds for guard in _GUARDS)
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a page pass a pipe in few pieces, where the system has such pipes and lets this user have another."""
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # unsent data is lost with it
                pipe.close()
