"""Log lines for terminals in which progress cannot be drawn."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from dclm.cli.shared import options
from dclm.cli.shared.options import ConsoleProgress


def test_a_log_gets_a_line_a_minute_with_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(options.time, "monotonic", lambda: now[0])
    progress = ConsoleProgress()
    progress.start("train tiny", 1000, "steps")
    progress.advance(400)  # of an earlier run
    for second in range(1, 91):
        now[0] = 1000.0 + second
        progress.advance(2, note="loss 3.210 · 1,234 tokens/s")
    progress.advance(0)
    progress.finish()
    assert capsys.readouterr().err == "train tiny: 520 of 1,000 steps, 0:04:00 left · loss 3.210 · 1,234 tokens/s\n"


def test_work_of_unknown_length_and_short_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(options.time, "monotonic", lambda: now[0])
    progress = ConsoleProgress()
    progress.start("short", 2)
    progress.advance(2, 100)
    progress.start("fetch", None, "files")
    now[0] = 100.0
    progress.advance(7, 300)
    assert capsys.readouterr().err == "fetch: 7 · 3 documents/s\n"


def test_the_cursor_is_back_when_an_error_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    terminal = io.StringIO()
    monkeypatch.setattr(options, "Console", lambda **_: Console(file=terminal, force_terminal=True))
    monkeypatch.setattr(options.atexit, "register", at_exit.append)
    progress = ConsoleProgress()
    progress.start("train tiny", 1000, "steps")
    assert "\x1b[?25l" in terminal.getvalue()
    (leave,) = at_exit
    leave()
    assert "\x1b[?25h" in terminal.getvalue()
    leave()
