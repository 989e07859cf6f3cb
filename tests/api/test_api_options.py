"""The functions offer what the commands offer: the same options with the same defaults, and the same artifacts."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import click
import pytest

import dclm
from dclm.api.training import tokenize, train
from dclm.cli.main import dclm as command_line
from dclm.cli.models.tokenize import tokenize as tokenize_command
from dclm.cli.models.train import train as train_command
from dclm.core.errors import ConfigError
from dclm.core.record import read_record

BYTES = Path(__file__).resolve().parents[2] / "recipes" / "experiments" / "bytes.json"
OTHER_DEFAULTS = {"workers", "resume"}
"""A function uses one process unless a script asks for more, and continues what is there."""
OF_A_TERMINAL = {"help", "_json", "quiet", "verbose"}
OF_PYTHON = {"progress", "make_progress", "say"}


@pytest.mark.parametrize(("function", "command"), [(tokenize, tokenize_command), (train, train_command)])
def test_a_function_has_the_options_and_defaults_of_its_command(function: Any, command: click.Command) -> None:
    own = inspect.signature(function).parameters
    given = {str(p.name): p for p in command.params if p.name not in OF_A_TERMINAL}
    assert given.keys() - own.keys() == set()
    assert own.keys() - given.keys() - OF_PYTHON == set()
    for name, parameter in given.items():
        if own[name].default is inspect.Parameter.empty:
            assert parameter.required
        elif name not in OTHER_DEFAULTS:
            stated = parameter.to_info_dict().get("default")
            assert (own[name].default or None) == (stated or None), name


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pools")
    for name, letter in (("a", "x"), ("b", "y")):
        rows = [{"text": letter * (100 + i), "score": i % 3} for i in range(60)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [folder / "a.jsonl", folder / "b.jsonl"]


def test_both_make_the_same_mixture_with_repeats_and_phases(pools: list[Path], tmp_path: Path) -> None:
    rule = {"column": "score", "cap": 2}
    (tmp_path / "rule.yaml").write_text(json.dumps(rule))
    common = {"tokenizer": str(BYTES), "seq_len": 16, "num_tokens": 1600}
    for repeats in (rule, tmp_path / "rule.yaml"):
        phases = [(0.9, (9, 1)), (0.1, (1, 1))]
        made = dclm.tokenize(pools, tmp_path / "api", phases=phases, repeats=repeats, max_repeats=2, **common)  # type: ignore[arg-type]
        arguments = ["--tokenizer", str(BYTES), "--seq-len", "16", "--num-tokens", "1600", "--max-repeats", "2"]
        arguments += ["--phase", "0.9:9,1", "--phase", "0.1:1,1", "--repeats", str(tmp_path / "rule.yaml")]
        paths = [str(p) for p in pools]
        command_line.main(["tokenize", *paths, *arguments, "--out", str(tmp_path / "cli")], standalone_mode=False)
        assert made.fingerprint == read_record(tmp_path / "cli").fingerprint
        assert made.record.files == read_record(tmp_path / "cli").files
    hot = dclm.tokenize(pools, tmp_path / "hot", temperature=2.0, weights_by="documents", **common)  # type: ignore[arg-type]
    assert hot.record.config["temperature"] == 2.0
    with pytest.raises(ConfigError, match="give either weights, a temperature or phases"):
        dclm.tokenize(pools, tmp_path / "no", temperature=2.0, weights=[1, 1], **common)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cap"):
        dclm.tokenize(pools, tmp_path / "no", repeats={"column": "score"}, **common)  # type: ignore[arg-type]


def test_a_cool_down_continues_from_a_run(pools: list[Path], tmp_path: Path) -> None:
    tokens = dclm.tokenize(pools, tmp_path / "tokens", tokenizer=str(BYTES), seq_len=256)
    settings: dict[str, Any] = {"scale": "bytes-74k", "num_tokens": 20_480, "epochs": 99, "threads": 1}
    first = dclm.train(tokens, tmp_path / "first", **settings)
    cooled = dclm.train(tokens, tmp_path / "cool", init=first, keep_moments=True, schedule="linear", seed=1, **settings)
    assert cooled.record.config["standard"] is False
    again = dclm.train(tokens, tmp_path / "decay", weight_decay=0.5, **settings)
    assert len({first.fingerprint, cooled.fingerprint, again.fingerprint}) == 3
