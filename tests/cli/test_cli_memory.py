"""Too little memory is reported in three lines, whichever library notices it."""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import pyarrow as pa
import pytest

from dclm.cli import main as command
from dclm.core.memory import is_memory_full

NO_LIBRARY = "_imaging.cpython-311-x86_64-linux-gnu.so: failed to map segment from shared object"
TORCH = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(), pa.ArrowMemoryError("malloc of size 459264 failed"), ImportError(NO_LIBRARY),
        RuntimeError(TORCH), OSError(12, "Cannot allocate memory"), RuntimeError("can't start new thread"),
    ],
)  # fmt: skip
def test_a_lack_of_memory_is_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def show() -> None:
        raise error

    monkeypatch.setattr(command.LazyGroup, "get_command", lambda self, ctx, name: show)
    with pytest.raises(SystemExit) as ended:
        command.main(["show"])
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert said.startswith("error: memory\nthere is not enough of it: ")
    assert "hint: use fewer --workers" in said
    assert len(said.splitlines()) == 3


def test_other_errors_are_no_lack_of_memory() -> None:
    for error in (
        ImportError("No module named x"),
        RuntimeError("a bug"),
        ValueError("out of memory"),
        OSError(2, "x"),
    ):
        assert not is_memory_full(error)
    wrapped = ValueError("cannot read")
    wrapped.__cause__ = MemoryError()
    assert is_memory_full(wrapped)


def test_a_command_under_a_limit_ends_in_three_lines() -> None:
    """The same limit as `ulimit -v 400000`, under which Arrow cannot be loaded."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400_000 << 10, 400_000 << 10))

    command = [sys.executable, "-m", "dclm.cli.main", "evaluate", "nothing", "--tasks", "copa", "--out", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("error: memory\n"), done.stderr
