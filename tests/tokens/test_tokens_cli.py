"""`dclm tokenize` and `dclm tokens`: output, numbers, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokens_texts import make_shards

from dclm.cli.main import main
from dclm.core.record import read_record
from dclm.tokens.dataset import TokenDataset

Write = Callable[[str, Sequence[Sequence[str]]], Path]


@pytest.fixture
def arguments(tokenizer_json: str, write_jsonl: Write, tmp_path: Path) -> list[str]:
    documents = write_jsonl("documents", make_shards(20, 2))
    return ["tokenize", str(documents), "--tokenizer", tokenizer_json, "--seq-len", "15", "--seed", "3",
            "--out", str(tmp_path / "out"), "--workers", "1"]  # fmt: skip


def test_tokenize_prints_the_account(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    printed = {line[:16].strip(): int(line[16:].replace(",", "")) for line in capsys.readouterr().out.splitlines()}
    assert printed["documents"] == 20
    assert printed["text ids"] + printed["eot ids"] + printed["padding ids"] == printed["ids"]
    assert printed["sequences"] == TokenDataset(tmp_path / "out").num_sequences
    assert read_record(tmp_path / "out").config["seed"] == 3


def test_tokens_go_out_and_come_back(arguments: list[str], tmp_path: Path) -> None:
    main(arguments)
    main(["tokens", "export", str(tmp_path / "out"), "--out", str(tmp_path / "set"), "--workers", "1"])
    main(
        [
            "tokens",
            "import",
            str(tmp_path / "set"),
            "--out",
            str(tmp_path / "back"),
            "--seq-len",
            "15",
            "--workers",
            "1",
        ]
    )
    assert TokenDataset(tmp_path / "back")[0].tolist() == TokenDataset(tmp_path / "out")[0].tolist()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--tokenizer": "gpt-neox-20"}, 2),
        ({"--tokenizer": __file__}, 3),
        ({"--seq-len": "0"}, 2),
        ({"--num-tokens": "99999999"}, 2),
        ({"--weight": "-1"}, 2),
    ],
)
def test_mistakes_have_their_exit_codes_and_leave_no_artifact(
    arguments: list[str], tmp_path: Path, change: dict[str, str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main([*arguments, *[word for pair in change.items() for word in pair]])
    assert error.value.code == code
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "out" / "record.json").exists()


def test_a_missing_input_is_a_data_error(arguments: list[str]) -> None:
    arguments[1] += "-not-there"
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 3


@pytest.mark.parametrize(
    "said",
    [
        OSError(28, "No space left on device"),
        OSError("Not enough free space to write 48 bytes"),  # NumPy's own
    ],
)
def test_a_full_disk_is_told_in_three_lines(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: OSError
) -> None:
    def full(*_: object) -> None:
        raise said

    monkeypatch.setattr("dclm.tokens.pack.write_run", full)
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 3
    told = capsys.readouterr().err.splitlines()[-3:]
    assert told[1:] == ["the disk is full", "hint: free some space and run the same command again"]
