"""`dclm board` on the command line: output and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.board.result import Result, read_result, write_result
from dclm.board.serving.store import ResultStore
from dclm.cli.main import main

MakeResult = Callable[..., Result]
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    printed = capsys.readouterr()
    assert isinstance(code, int)
    return code, printed.out, printed.err


def test_check_says_that_a_result_is_in_order(capsys: Capture, result_file: Path, make: MakeResult) -> None:
    code, out, _ = run(capsys, "board", "check", result_file)
    assert code == 0
    assert make().id in out
    assert "  failed             a track is declared: the result names no track" in out
    assert "  cannot be checked  scores verified from items: no items.parquet was sent with the result" in out


def test_check_names_the_problems_of_every_file(capsys: Capture, tmp_path: Path, make: MakeResult) -> None:
    write_result(tmp_path / "a.json", make(core_v2=0.9))
    write_result(tmp_path / "b.json", make(chain=()))
    write_result(tmp_path / "c.json", make())
    code, out, err = run(capsys, "board", "check", *sorted(tmp_path.glob("*.json")))
    assert code == 3
    assert "a.json: core_v2" in err
    assert "b.json: chain" in err
    assert "c.json: in order" in out


def test_a_missing_file_is_an_error_of_the_data(capsys: Capture, tmp_path: Path) -> None:
    code, _, err = run(capsys, "board", "check", tmp_path / "none.json")
    assert code == 3
    assert len(err.splitlines()) == 3


def test_upload_table_and_site(capsys: Capture, tmp_path: Path, result_file: Path, make: MakeResult) -> None:
    board = tmp_path / "board"
    assert run(capsys, "board", "upload", result_file, "--to", board)[0] == 0
    write_result(tmp_path / "other.json", make(name="better [bold]\x1b[31m", accuracy=0.8, scale="5m"))
    assert run(capsys, "board", "check", tmp_path / "other.json")[0] == 3
    write_result(tmp_path / "other.json", make(name="better [bold]", accuracy=0.8, scale="5m"))
    assert run(capsys, "board", "upload", tmp_path / "other.json", "--to", board)[0] == 0
    code, out, _ = run(capsys, "board", "table", board)
    assert code == 0
    assert out.index("better [bold]") < out.index("baseline")
    assert "baseline" not in run(capsys, "board", "table", board, "--scale", "5m")[1]
    code, out, _ = run(capsys, "board", "site", board, "--out", tmp_path / "site")
    assert code == 0
    assert "better [bold]" in Path(out.strip()).read_text()


def test_an_unreachable_board_is_three_lines_and_exit_two(
    capsys: Capture, result_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_BOARD_TOKEN", "a-secret-that-stays-one")
    code, _, err = run(capsys, "board", "upload", result_file, "--to", "http://127.0.0.1:9")
    assert code == 2
    assert len(err.splitlines()) == 3
    assert "a-secret" not in err


def test_a_short_token_is_no_token_to_serve_with(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_BOARD_TOKEN", "short")
    code, _, err = run(capsys, "board", "serve", "--db", tmp_path / "board.db")
    assert code == 2
    assert "short" not in err.splitlines()[0]
    assert not (tmp_path / "board.db").exists()


def test_convert_goes_both_ways(capsys: Capture, tmp_path: Path, result_file: Path, make: MakeResult) -> None:
    there, back = tmp_path / "eval.json", tmp_path / "back.json"
    assert run(capsys, "board", "convert", result_file, "--out", there)[0] == 0
    assert json.loads(there.read_text())["Core_v2"] == make().core_v2
    assert run(capsys, "board", "convert", there, "--out", back)[0] == 0
    assert read_result(back).core_v2 == make().core_v2
    (tmp_path / "nonsense.json").write_text("{}")
    assert run(capsys, "board", "convert", tmp_path / "nonsense.json", "--out", tmp_path / "x.json")[0] == 3
    assert not (tmp_path / "x.json").exists()


def test_the_table_fits_80_columns_and_says_why_a_row_is_not_ranked(
    capsys: Capture, tmp_path: Path, make: MakeResult
) -> None:
    write_result(tmp_path / "a.json", make(name="a rather long name of a run that goes on " * 3, limited=20))
    (tmp_path / "b.json").write_text("{")
    code, out, err = run(capsys, "board", "table", tmp_path, "--published", 10)
    assert code == 0
    rows, _, said = out.partition("a rather long name of a run that goes on a rather long name")
    assert max(map(len, rows.splitlines())) <= 80
    assert rows.count("published") == 10
    assert "Only 20 items per task were scored" in said
    assert "b.json is not shown" in err


def test_tokens_removal_and_audit(capsys: Capture, tmp_path: Path, make: MakeResult) -> None:
    database = tmp_path / "board.db"
    code, token, _ = run(capsys, "board", "token", "add", "ann", "--db", database)
    assert code == 0
    assert len(token.strip()) > 30
    assert run(capsys, "board", "token", "add", "ann", "--db", database)[0] == 2
    assert run(capsys, "board", "token", "add", "a b", "--db", database)[0] == 2
    ResultStore(database).add(make(), "ann")
    assert run(capsys, "board", "remove", make().id, "--from", database, "--reason", "a test")[0] == 0
    assert run(capsys, "board", "remove", make().id, "--from", database, "--reason", "a test")[0] == 3
    assert run(capsys, "board", "remove", make().id, "--from", tmp_path, "--reason", "a test")[0] == 2
    lines = run(capsys, "board", "audit", "--db", database)[1].splitlines()
    assert [line.split("\t")[1:] for line in lines] == [
        ["ann", "add", make().id, "baseline"],
        ["keeper", "remove", make().id, "a test"],
    ]
    assert run(capsys, "board", "token", "revoke", "ann", "--db", database)[0] == 0
    assert run(capsys, "board", "token", "revoke", "ann", "--db", database)[0] == 2
    assert "revoked" in run(capsys, "board", "token", "list", "--db", database)[1]
