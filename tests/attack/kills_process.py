"""A `dclm` command in a forked process, which starts at once because everything is already imported."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def preload() -> None:
    """Import the modules that commands need, so that their processes start with them."""
    import dclm.board.serving.rescore
    import dclm.cli.run
    import dclm.cli.verify
    import dclm.eval.run.forward
    import dclm.filters
    import dclm.pool.sample.crawl
    import dclm.recipe.run
    import dclm.recipe.verify.run
    import dclm.train.run  # noqa: F401


class Child:
    """A command that leads its own process group."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._log = log
        self._started = time.monotonic()
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(arguments, log)

    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, longest: float) -> int:
        """The exit code. Raises: AssertionError if that takes longer than this many seconds."""
        while (code := self.code()) is None:
            self.check(longest)
            time.sleep(0.02)
        return code

    def check(self, longest: float) -> None:
        """Raises: AssertionError if it has run longer than this many seconds."""
        if time.monotonic() - self._started > longest:
            self.kill("group")
            raise AssertionError(f"no end after {longest} s: {self.output()}")

    def kill(self, victim: str) -> str | None:
        """SIGKILL the driver, one of its workers or the group; returns what was killed, or None if it has ended.

        Without a worker, the group is killed.
        """
        if self.code() is not None:
            return None
        if victim == "worker":
            for pid in _workers(self.pid):
                os.kill(pid, signal.SIGKILL)
                return "worker"
            victim = "group"
        if victim == "driver":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.killpg(self.pid, signal.SIGKILL)
        while self.code() is None:  # it cannot refuse
            time.sleep(0.02)
        return victim

    def output(self) -> str:
        """Its output."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]


def _become(arguments: list[str], log: Path) -> None:
    """Run the command and end the process. Never returns."""
    code = 1
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        from dclm.cli.main import main

        main(arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        import sys

        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _workers(parent: int) -> list[int]:
    """Its child processes that run Python."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(path.parent.name))
    return found
