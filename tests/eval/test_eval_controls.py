"""Controls: a model with knowledge scores far above chance, one without does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dclm.eval.run.stage import evaluate
from dclm.model.config import ModelConfig
from dclm.model.init import initialize
from dclm.model.transformer import Transformer
from dclm.model.weights import write_model


def scores(out: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((out / "scores.json").read_text())["tasks"]
    return found


@pytest.mark.shared
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(("label", "limit"), [("arc_easy", 25), ("lambada_openai", 25), ("hellaswag_zeroshot", 100)])
def test_a_real_model_is_well_above_chance(label: str, limit: int, shared: Path, tmp_path: Path) -> None:
    evaluate("gguf:smollm2-135m", tmp_path, tasks=(label,), limit=limit, device="cpu")
    task = scores(tmp_path)[label]
    assert task["n"] == limit
    assert task["accuracy"] > task["baseline"]["v2"] + 2 * task["standard_error"]


@pytest.mark.shared
def test_a_model_that_was_never_trained_is_at_chance(shared: Path, tmp_path: Path) -> None:
    config = ModelConfig(hidden_dim=32, num_layers=2, num_heads=2, seq_len=2048, vocab_size=50_432)
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model", initialize(Transformer(config), seed=2).state_dict(), config, None)
    labels = ("copa", "winograd", "hellaswag_zeroshot", "lambada_openai")
    evaluate(str(tmp_path / "model"), tmp_path / "out", tasks=labels, limit=100, device="cpu")
    found = scores(tmp_path / "out")
    for label in labels:
        task = found[label]
        chance = 0.0 if label == "lambada_openai" else task["baseline"]["v2"]
        assert abs(task["accuracy"] - chance) <= 3 * (task["standard_error"] or 0.0) + 0.02, label
