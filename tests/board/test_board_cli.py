"""`dclm board` on the command line: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.board.result import Result, read_result, write_result
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
