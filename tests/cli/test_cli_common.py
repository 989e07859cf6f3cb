"""Every command takes -v, -q and --json, and with --json prints one JSON document on stdout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest

from dclm.board.result import write_result
from dclm.cli.main import dclm, main
from dclm.cli.shared.common import FLAGS
from dclm.cli.shared.options import ConsoleProgress
from dclm.cli.shared.output import as_value, current, leave_result, open_console, printing, put, put_result, say
from dclm.core.errors import DataError
from tests.board.conftest import build_result

Capture = pytest.CaptureFixture[str]


class Fields(NamedTuple):
    field: float | None


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


COMMANDS = dict(leaves(dclm))


def test_every_command_takes_the_common_options_once() -> None:
    assert len(COMMANDS) > 60
    for path, command in COMMANDS.items():
        names = [name for parameter in command.params for name in parameter.opts]
        assert [names.count(flag) for flag in (*FLAGS, "-v", "-q")] == [1] * 5, path
        by_name = {name: parameter for parameter in command.params for name in parameter.opts}
        assert all(isinstance(by_name[flag], click.Option) and by_name[flag].is_flag for flag in FLAGS), path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    write_result(tmp_path / "result.json", build_result())
    (tmp_path / "board").mkdir()
    write_result(tmp_path / "board" / "a.json", build_result())
    (tmp_path / "p.jsonl").write_text('{"id": "d1", "text": "a few words"}\n')
    (tmp_path / "p.yaml").write_text("name: p\nsteps: [{page_length: {of: word, min: 1}}]\n")
    (tmp_path / "r.yaml").write_text("name: r\ndata: [{pool: p.jsonl, pipeline: p.yaml}]\nscale: tiny\nsuite: core\n")
    (tmp_path / "scores.json").write_text('{"copa": 0.5}')
    main(["curate", str(tmp_path / "p.yaml"), "--pool", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "d"), "-q"])
    return {"TMP": str(tmp_path)}


@pytest.mark.parametrize(
    "command",
    [
        "board check TMP/result.json",
        "board table TMP/board",
        "board upload TMP/result.json --to TMP/other",
        "board site TMP/board --out TMP/site",
        "assets list",
        "assets check",
        "plan TMP/r.yaml",
        "show TMP/d --no-samples --tokenizer none",
        "why d1 --in TMP/d",
        "aggregate TMP/scores.json",
        "pool sample --out TMP/sample --documents 3 --files 1",
        "dedup bands 0.8 --permutations 128",
        "verify TMP/d",
        "ablate TMP/p.yaml --pool TMP/p.jsonl --workers 1",
        "report TMP/d --out TMP/report.html",
    ],
    ids=lambda command: command.partition(" TMP")[0],
)
def test_a_result_is_one_json_document(files: dict[str, str], capsys: Capture, command: str) -> None:
    capsys.readouterr()
    ends = pytest.raises(SystemExit) if command.startswith("verify") else contextlib.nullcontext()
    words = command.replace("TMP", files["TMP"]).split()
    assert tuple(words[:1]) in COMMANDS or tuple(words[:2]) in COMMANDS
    with ends:
        main([*words, "--json"])
    json.loads(capsys.readouterr().out)
    assert not current().as_json


def test_documents_say_what_the_tables_say(files: dict[str, str], capsys: Capture) -> None:
    folder = files["TMP"]
    capsys.readouterr()
    main(["board", "table", f"{folder}/board", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["standing"]) == ("baseline", "apart")
    main(["show", f"{folder}/d", "--tokenizer", "none", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["kind"] == "documents"
    assert shown["steps"][-1]["name"] == "page_length"


def test_quiet_leaves_results_and_errors(files: dict[str, str], capsys: Capture) -> None:
    folder = files["TMP"]
    capsys.readouterr()
    main(["curate", f"{folder}/p.yaml", "--pool", f"{folder}/p.jsonl", "--out", f"{folder}/d2", "-q"])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    main(["curate", f"{folder}/p.yaml", "--pool", f"{folder}/p.jsonl", "--out", f"{folder}/d3"])
    assert "read 1 = kept 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["show", f"{folder}/nothing", "-q"])
    assert capsys.readouterr().err.startswith("error: ")


def test_verbose_adds_time_and_where_an_error_arises(files: dict[str, str], capsys: Capture) -> None:
    folder = files["TMP"]
    main(["plan", f"{folder}/r.yaml", "-v"])
    assert " MB in this process" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["show", f"{folder}/nothing", "-v"])
    printed = capsys.readouterr().err
    assert printed.index("Traceback") < printed.index("error: ")
    with pytest.raises(SystemExit):
        main(["show", f"{folder}/nothing"])
    assert "Traceback" not in capsys.readouterr().err


def test_a_failed_command_prints_no_document(files: dict[str, str], capsys: Capture) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["show", f"{files['TMP']}/nothing", "--json"])
    assert capsys.readouterr().out == ""


def test_a_command_has_one_result(capsys: Capture) -> None:
    with printing(as_json=True):
        put_result({"value": None}, "text")
        say("for people")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"value": None}
    assert captured.err == "for people\n"
    with pytest.raises(AssertionError, match="outside of put_result"), printing(as_json=True):
        put("a line")
    with pytest.raises(AssertionError, match="outside of put_result"), printing(as_json=True):
        open_console()
    with printing(as_json=True):
        put_result(1, "text")
        with pytest.raises(AssertionError, match="one result"):
            put_result(2, "text")
    capsys.readouterr()
    with pytest.raises(AssertionError, match="has not called put_result"), printing(as_json=True):
        pass
    with printing(as_json=True):
        leave_result()
    assert capsys.readouterr().out == ""


def test_a_result_that_an_error_follows_is_printed(capsys: Capture) -> None:
    def fail() -> None:
        with printing(as_json=True):
            put_result([1], "text")
            raise DataError("a", "b")

    with pytest.raises(DataError):
        fail()
    assert json.loads(capsys.readouterr().out) == [1]


def test_what_is_unknown_is_null_and_numbers_keep_their_digits() -> None:
    values = {
        "a": float("nan"),
        "b": 1 / 3,
        "c": np.float32(0.5),
        "d": Path("x"),
        "e": {"z", "y"},
        "f": (Fields(None),),
    }
    expected = {"a": None, "b": 1 / 3, "c": 0.5, "d": "x", "e": ["y", "z"], "f": [{"field": None}]}
    assert as_value(values) == expected
    with pytest.raises(TypeError, match="object has no form in JSON"):
        as_value(object())


def test_no_progress_for_no_work(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    for quiet, total in ((False, 0), (True, 3)):
        with printing(quiet=quiet):
            progress = ConsoleProgress()
            progress.start("mix", total)
            progress.advance()
            progress.finish()
        captured = capsys.readouterr()
        assert captured.out + captured.err == ""
