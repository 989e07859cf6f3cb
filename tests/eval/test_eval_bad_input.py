"""An item that cannot be scored is refused with its task and row, and no score silently covers only part of a task."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from eval_tasks import write_task

from dclm.cli.main import main
from dclm.core.errors import ConfigError, DataError
from dclm.eval.data.rows import Row, rows_sha256
from dclm.eval.run.stage import evaluate
from dclm.eval.task import load_task
from dclm.model.config import ModelConfig
from dclm.model.init import initialize
from dclm.model.transformer import Transformer
from dclm.model.weights import write_model


def replace_rows(tasks: Path, label: str, rows: list[Row]) -> None:
    """Give a task of the fixture other rows, and a file that expects exactly these."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tasks.parent / "assets" / "eval" / "tests" / f"{label}.jsonl.gz").write_bytes(gzip.compress(content))
    write_task(tasks, label, max(len(rows), 1), rows_sha256(rows))
    load_task.cache_clear()


def refusal(model: str, tasks: Path, out: Path, label: str) -> str:
    with pytest.raises(DataError) as caught:
        evaluate(model, out, tasks=(label,), device="cpu", folder=tasks)
    assert not (out / "scores.json").exists()
    assert not (out / "record.json").exists()
    return str(caught.value)


FINE: Row = {"query": "What?", "choices": ["a", "b"], "gold": 0, "category": "c0"}


@pytest.mark.parametrize(
    ("label", "row", "message"),
    [
        ("choose", {**FINE, "choices": "ab"}, "column `choices`: found 'ab', allowed: list"),
        ("choose", {**FINE, "gold": 2}, "`gold`: found 2, allowed: 0 to 1"),
        ("choose", {**FINE, "gold": "a"}, "column `gold`"),
        ("choose", {k: v for k, v in FINE.items() if k != "query"}, "column `query`: found None"),
        ("complete", {"context": "a"}, "column `continuation`"),
        ("complete", {"context": "a", "continuation": "b" * 600}, "has 601 tokens, but the model's window is 512"),
        ("tell", {"context_options": ["a", ""], "continuation": "b", "gold": 7}, "`gold`: found 7"),
        ("say", {"context": "a", "answer": 7}, "column `answer`"),
    ],
)
def test_a_bad_row_stops_the_run_with_task_and_row(
    model: str, tasks: Path, tmp_path: Path, label: str, row: Row, message: str
) -> None:
    fine: dict[str, Row] = {
        "choose": FINE,
        "complete": {"context": "a", "continuation": "b"},
        "tell": {"context_options": ["a", "b"], "continuation": "c", "gold": 0},
        "say": {"context": "a", "answer": "b"},
    }
    replace_rows(tasks, label, [fine[label], fine[label], row])
    found = refusal(model, tasks, tmp_path / "out", label)
    assert f"task {label}, row 2" in found
    assert message in found


def test_an_empty_file_is_refused(model: str, tasks: Path, tmp_path: Path) -> None:
    replace_rows(tasks, "complete", [])
    assert "found 0 rows" in refusal(model, tasks, tmp_path / "out", "complete")


def test_a_choice_that_becomes_no_token_is_refused(
    model: str, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_rows(tasks, "choose", [FINE, FINE, {**FINE, "choices": ["a", ""]}])
    monkeypatch.setattr("dclm.eval.tokenizer.Tokenizer.prefix_space", lambda self: False)  # as for word tokenizers
    found = refusal(model, tasks, tmp_path / "out", "choose")
    assert "task choose, row 2\nanswer 1 has no tokens: ''" in found


def test_a_context_longer_than_the_window_is_trimmed_and_counted(model: str, tasks: Path, tmp_path: Path) -> None:
    rows: list[Row] = [{"context": "a" * size, "continuation": "b"} for size in (3, 700, 3)]
    replace_rows(tasks, "complete", rows)
    evaluate(model, tmp_path / "out", tasks=("complete",), device="cpu", folder=tasks)
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["tasks"]["complete"]["trimmed"] == 3


@pytest.mark.parametrize("label", ["choose", "complete", "say", "tell"])
def test_a_model_with_damaged_weights_is_refused_in_every_kind_of_task(
    label: str, tasks: Path, tmp_path: Path, small_model: Transformer, letters_file: Path
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    state = {name: value.clone() for name, value in small_model.state_dict().items()}
    state["output.weight"][5] = float("nan")
    write_model(folder, state, small_model.config, letters_file)
    found = refusal(str(folder), tasks, tmp_path / "out", label)
    assert re.match(rf"task {label}, row \d\nthe model gives a logit that is not finite", found)


@pytest.mark.parametrize("label", ["choose", "say"])
def test_a_checkpoint_of_another_vocabulary_is_refused(
    label: str, tasks: Path, tmp_path: Path, letters_file: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    config = ModelConfig(hidden_dim=32, num_layers=1, num_heads=2, seq_len=512, vocab_size=64)
    model = initialize(Transformer(config), seed=0)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    write_model(folder, model.state_dict(), config, letters_file)
    found = refusal(str(folder), tasks, tmp_path / "out", label)
    assert f"task {label}, row 0\nthe tokenizer gives id " in found
    assert "the model has 64 logits" in found


def test_scores_of_part_of_a_task_say_so_wherever_they_are_shown(
    model: str, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    evaluate(model, out, tasks=("complete",), limit=2, device="cpu", folder=tasks)
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["limited"], scores["tasks"]["complete"]["n"], scores["tasks"]["complete"]["rows"]) == (2, 2, 7)
    assert "first 2 rows of each task" in (out / "scores.svg").read_text()
    main(["aggregate", str(out / "scores.json")])
    assert json.loads(capsys.readouterr().out)["limited"] == 2


def test_finished_scores_are_replaced_only_if_asked(model: str, tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(model, out, tasks=("complete",), limit=2, device="cpu", folder=tasks)
    before = (out / "scores.json").read_bytes()
    with pytest.raises(ConfigError, match="holds finished scores"):
        evaluate(model, out, tasks=("complete",), limit=3, device="cpu", folder=tasks)
    assert (out / "scores.json").read_bytes() == before
    evaluate(model, out, tasks=("complete",), limit=3, device="cpu", folder=tasks, force=True)
    assert json.loads((out / "scores.json").read_text())["limited"] == 3
