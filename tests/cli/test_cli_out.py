"""An output that a command cannot write to is refused before any work, instead of becoming a folder named `s3:`."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from dclm.cli.main import main
from dclm.cli.shared.options import Address, LocalPath
from tests.cli.test_cli_common import COMMANDS

WRITTEN = {"--out", "--plot", "--html", "--numbers", "--picture"}
ON_STORAGE = {"curate", "dedup index", "evaluate", "run", "tokenize", "train"}
ELSEWHERE = {"submit"}
"""Its job writes, which checks the address itself."""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_local_output_refuses_urls(path: tuple[str, ...]) -> None:
    name, command = " ".join(path), COMMANDS[path]
    for option in command.params:
        if not WRITTEN & set(option.opts) or name in ELSEWHERE:
            continue
        if name in ON_STORAGE:
            assert isinstance(option.type, Address)
            continue
        assert isinstance(option.type, LocalPath), option.opts
        with pytest.raises(click.BadParameter, match="allowed here: a local path"):
            option.type.convert("s3://out/x", option, None)


CALLS = [
    "curate p.yaml --pool p.jsonl --out OUT",
    "tokenize p.jsonl --out OUT",
    "run r.yaml --out OUT",
    "train tokens --scale tiny --out OUT",
    "dedup index p.jsonl --step exact --out OUT",
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.split(" OUT")[0].rsplit(" ", 4)[0])
def test_storage_that_is_not_there_is_refused_by_name(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"text": "a few words"}\n')
    (tmp_path / "p.yaml").write_text("name: p\nsteps: [exact]\n")
    (tmp_path / "r.yaml").write_text("name: r\ndata: [{pool: p.jsonl, pipeline: p.yaml}]\nscale: tiny\nsuite: core\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(call.replace("OUT", "nothing://bucket/out").split())
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert "nothing://" in printed
    assert "Traceback" not in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_on_storage_are_all_called() -> None:
    """Except `evaluate`, which looks for the model first."""
    assert {" ".join(path) for path in COMMANDS if any(call.startswith(" ".join(path) + " ") for call in CALLS)} == (
        ON_STORAGE - {"evaluate"}
    )
