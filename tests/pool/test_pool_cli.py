"""`dclm pool`: output and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.cli.main import main


def test_list_prints_kind_bytes_name_and_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.warc.gz").write_bytes(b"12345")
    (tmp_path / "a.jsonl").write_bytes(b"1")
    main(["pool", "list", str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == [
        f"jsonl\t1\ta.jsonl\t{tmp_path}/a.jsonl",
        f"warc\t5\tb.warc.gz\t{tmp_path}/b.warc.gz",
    ]


def test_a_sample_is_made_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pool", "sample", "--out", str(tmp_path / "s"), "--documents", "12", "--files", "3", "--seed", "1"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "s")
    main(["pool", "list", str(tmp_path / "s")])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_path_that_matches_nothing_is_three_lines_and_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["pool", "list", str(tmp_path / "nothing")])
    assert exit.value.code == 3
    assert len(capsys.readouterr().err.splitlines()) == 3
