"""Cool-downs from a checkpoint, averages of checkpoints, and another weight decay."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.model.formats.convert import average_models
from dclm.model.load import load_model
from dclm.model.transformer import Transformer
from dclm.train.optim import learning_rate
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale, find_scale, with_weight_decay

MakeTokens = Callable[..., Path]


def run(tokens: Path, out: Path, scale: Scale, **options: object) -> Record:
    return train(tokens, out, scale=scale, seed=0, options=TrainOptions(precision="fp32", **options))  # type: ignore[arg-type]


def metrics(out: Path, name: str) -> list[float]:
    return [json.loads(line)[name] for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(path: Path) -> dict[str, torch.Tensor]:
    model = load_model(path).model
    assert isinstance(model, Transformer)
    return {name: value.detach() for name, value in model.named_parameters()}


def test_a_cool_down_goes_in_a_line_to_the_final_rate(small_scale: Scale) -> None:
    rates = [learning_rate(small_scale, step, "linear") for step in range(small_scale.num_steps)]
    steps = {round(a - b, 12) for a, b in itertools.pairwise(rates)}
    assert len(steps) == 1
    assert rates[-1] == pytest.approx(small_scale.final_learning_rate)
    assert rates[0] + steps.pop() == pytest.approx(small_scale.learning_rate)


def test_a_cool_down_continues_with_moments_schedule_and_data_of_its_own(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    first, other = make_tokens(), make_tokens("other", seed=5)
    run(first, tmp_path / "main", small_scale)
    made = {
        moments: run(
            other, tmp_path / str(moments), small_scale, init=tmp_path / "main", keep_moments=moments, schedule="linear"
        )
        for moments in (True, False)
    }
    assert made[True].config["schedule"] == "linear"
    assert made[True].config["standard"] is False
    assert made[True].fingerprint != made[False].fingerprint
    assert "moments" in made[True].inputs
    kept, fresh = (metrics(tmp_path / str(moments), "loss") for moments in (True, False))
    assert kept[0] == fresh[0]  # the same weights, before any update
    assert kept[1] != fresh[1]
    assert metrics(tmp_path / "True", "lr")[-1] == pytest.approx(small_scale.final_learning_rate)
    assert kept[-1] < metrics(tmp_path / "main", "loss")[0]


def test_a_stopped_cool_down_continues(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens = make_tokens()
    run(tokens, tmp_path / "main", small_scale)
    how = {"init": tmp_path / "main", "keep_moments": True, "schedule": "linear", "checkpoint_every": 5}
    whole = run(tokens, tmp_path / "whole", small_scale, **how)
    (tmp_path / "whole" / "record.json").unlink()
    last = sorted((tmp_path / "whole" / "checkpoints").iterdir())[-1]
    before = metrics(tmp_path / "whole", "loss")
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    again = run(tokens, tmp_path / "whole", small_scale, resume=True, **how)
    assert again.fingerprint == whole.fingerprint
    assert metrics(tmp_path / "whole", "loss") == before


def test_moments_need_a_run(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens = make_tokens()
    with pytest.raises(ConfigError, match="found no --init"):
        run(tokens, tmp_path / "a", small_scale, keep_moments=True)
    run(tokens, tmp_path / "main", small_scale)
    average_models([str(tmp_path / "main")], tmp_path / "soup")
    with pytest.raises(ConfigError, match="no optimizer state"):
        run(tokens, tmp_path / "b", small_scale, init=tmp_path / "soup", keep_moments=True)


def test_another_weight_decay_is_recorded(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens = make_tokens()
    plain, decayed = (run(tokens, tmp_path / str(d), small_scale, weight_decay=d) for d in (None, 0.5))
    assert decayed.config["scale"]["weight_decay"] == 0.5  # type: ignore[index]
    assert plain.fingerprint != decayed.fingerprint
    norms = [sum(float(w.norm()) for w in weights(tmp_path / str(d)).values()) for d in (None, 0.5)]
    assert norms[1] < norms[0]
    scale = find_scale("5m")
    assert with_weight_decay(scale, scale.weight_decay) is scale
    assert with_weight_decay(scale, 0.1).standard is False
    with pytest.raises(ConfigError, match="weight decay"):
        with_weight_decay(scale, -0.1)


def test_a_soup_is_the_weighted_mean(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        run(make_tokens(f"tokens{seed}", seed=seed), tmp_path / str(seed), small_scale)
    sources = [str(tmp_path / str(seed)) for seed in (0, 1, 2)]
    average_models(sources, tmp_path / "soup", (1, 1, 2))
    average_models(sources[::-1], tmp_path / "reversed", (2, 1, 1))
    average_models([sources[0]] * 3, tmp_path / "same")
    parts = [weights(Path(source)) for source in sources]
    soup, backwards, same = (weights(tmp_path / name) for name in ("soup", "reversed", "same"))
    for name, value in soup.items():
        expected = (parts[0][name].double() + parts[1][name].double() + 2 * parts[2][name].double()) / 4
        torch.testing.assert_close(value, expected.float(), rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(backwards[name], value, rtol=1e-6, atol=1e-9)
        assert torch.equal(same[name], parts[0][name])


def test_models_that_do_not_fit_are_not_averaged(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    wide = dataclasses.replace(small_scale, model=dataclasses.replace(small_scale.model, hidden_dim=32))
    for name, scale in (("small", small_scale), ("wide", wide)):
        run(make_tokens(name=f"tokens-{name}"), tmp_path / name, scale)
    both = [str(tmp_path / "small"), str(tmp_path / "wide")]
    with pytest.raises(ConfigError, match=r"hidden_dim=32.*allowed.*hidden_dim=16"):
        average_models(both, tmp_path / "soup")
    for bad in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(ConfigError, match="one positive number per model"):
            average_models(both, tmp_path / "soup", bad)
    assert not (tmp_path / "soup").exists()
    with pytest.raises(ConfigError, match="already exists"):
        average_models(both[:1], tmp_path / "small")
