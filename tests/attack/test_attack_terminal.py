"""Untrusted text that would control the terminal: escape codes in URLs, texts, and names of pipelines and records."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.cli.documents.ablate import _print
from dclm.cli.documents.dedup_members import _difference, _headline
from dclm.cli.main import main
from dclm.cli.shared.options import open_console, plain, put, say, visible
from dclm.core.record import Record, write_record
from dclm.documents.duplicates import Member
from dclm.report.ablation.run import Ablation

HOSTILE = "a\x1b]0;title\x07\x1b[2J\x1b[31mb\x9bc\x7f\u202ed\u2066e\ud800\rf"


def assert_harmless(said: str) -> None:
    assert "a\u241b]0" in said.replace("\n", "")
    left = {c for c in said if not c.isprintable()} - {"\n", "\t"}
    assert not left, left


def test_what_cannot_be_seen_is_shown() -> None:
    assert visible("plain text, ünïcode 日本\n\tnext") == "plain text, ünïcode 日本\n\tnext"
    assert visible("\x1b[31m\r\x00\x7f") == "\u241b[31m\u240d\u2400\u2421"
    assert visible("\u202e\ud800\x9b") == "\ufffd" * 3
    assert visible("a\u00a0b") == "a b"
    assert plain("a\nb") == "a\u240ab"


def test_lines_and_errors_are_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(HOSTILE)
    assert_harmless(capsys.readouterr().out)
    say(HOSTILE)
    assert_harmless(capsys.readouterr().err)
    with pytest.raises(SystemExit):
        main(["show", str(tmp_path / "a\x1b]0;x\x07")])
    assert_harmless(capsys.readouterr().err)


def test_the_name_of_a_pipeline_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = HOSTILE.replace("\ud800", "")
    write_record(tmp_path, Record(kind="tokens", name=name, fingerprint="0", config={}, counts={name: name}))
    main(["show", str(tmp_path)])
    assert_harmless(capsys.readouterr().out)
    _print(Ablation(pipeline=name, documents=1, kept=1, characters=1, steps=(), overlap=()))
    assert_harmless(capsys.readouterr().out)


def test_pages_of_a_cluster_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    members = [
        Member(shard=0, row=n, id=HOSTILE, url=HOSTILE, source="s", kept=n == 0, jaccard=None, left_at=HOSTILE,
               text=f"{HOSTILE} {n}", text_from=HOSTILE)
        for n in range(2)
    ]  # fmt: skip
    console = open_console(200)
    console.print(_headline(0, members[0]))
    assert_harmless(capsys.readouterr().out)
    console.print(_difference(*members))
    assert_harmless(capsys.readouterr().out)


def test_markup_of_strangers_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    _print(Ablation(pipeline="[red]x[/]", documents=1, kept=1, characters=1, steps=(), overlap=()))
    assert "[red]x[/]" in capsys.readouterr().out
