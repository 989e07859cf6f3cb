"""The model against values computed by running open_lm (conformance/open_lm/README.md has formats and tolerances)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pytest
import torch
from torch.optim import Optimizer

from dclm.model.config import ModelConfig
from dclm.model.formats.openlm import from_openlm
from dclm.model.loss import linear_cross_entropy
from dclm.model.transformer import Rotary, Transformer
from dclm.train.optim import MAX_GRAD_NORM, learning_rate, make_optimizer, set_learning_rate
from dclm.train.scale import SCALES

pytestmark = pytest.mark.shared

NAMES = ("v512_d128_l3_h8_s64", "v50432_d64_l2_h4_s128")
PUBLISHED = {
    "411m_1x": "411m_1x",
    "1b_1x": "1b_1x_fast",
    "3b_1x": "3b_1x_fast_3e-3_lr_1e-4_zloss",
    "7b_1x": "7b_1x_fast_2e-3_lr_5e-6_zloss",
    "7b_2x": "7b_2x_fast_2e-3_lr_5e-6_zloss",
}


class Case(NamedTuple):
    model: Transformer
    expected: dict[str, np.ndarray]


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def read_case(shared: Path, name: str, results: str = "io") -> Case:
    """The model with the reference's weights, and the reference's outputs."""
    torch.set_num_threads(1)
    folder = shared / "conformance" / "open_lm"
    parts: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob(f"{name}.state*.npz")):
        parts |= read(path)
    state = {key: torch.from_numpy(value) for key, value in parts.items() if "::rows" not in key}
    for key in sorted({key.split("::")[0] for key in parts if "::rows" in key}):
        rows = [parts[f"{key}::rows{i}"] for i in range(2)]
        state[key] = torch.from_numpy(np.concatenate(rows))
    shape = json.loads((folder / f"{name}.json").read_text())
    config = ModelConfig(
        hidden_dim=shape["hidden_dim"], num_layers=shape["n_layers"], num_heads=shape["n_heads"],
        seq_len=shape["seq_len"], vocab_size=shape["vocab_size"],
    )  # fmt: skip
    model = Transformer(config)
    model.load_state_dict(from_openlm(state, name))
    return Case(model, read(folder / f"{name}.{results}.npz"))


def fill_by_formula(model: Transformer) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = np.random.RandomState(crc32(name.encode())).standard_normal(tuple(parameter.shape))
            values = values / np.sqrt(parameter.shape[1]) if parameter.dim() == 2 else 1 + 0.1 * values
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def check_outputs(case: Case) -> None:
    model, expected = case
    rows = torch.from_numpy(expected["chunk"]).long()
    hidden = model.forward_hidden(rows[:, :-1])
    logits = model.head(hidden)
    if "logits" in expected:
        found = logits
        np.testing.assert_allclose(found.detach().numpy(), expected["logits"], atol=1e-4)
        np.testing.assert_allclose(hidden.detach().numpy(), expected["final_hidden"], atol=1e-4)
    else:
        places = torch.from_numpy(expected["logits_pos"]).long()
        np.testing.assert_allclose(logits[:, places].detach().numpy(), expected["logits_at_pos"], atol=1e-4)
    np.testing.assert_allclose(logits.logsumexp(-1).detach().numpy(), expected["logsumexp"], rtol=1e-5)
    entropy = torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
    np.testing.assert_allclose(entropy.detach().numpy(), expected["token_ce"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(logits.argmax(-1).numpy(), expected["argmax"])


def loss_of(model: Transformer, rows: torch.Tensor, z_loss: float = 1e-4) -> torch.Tensor:
    targets = rows[:, 1:].flatten()
    hidden = model.forward_hidden(rows[:, :-1]).flatten(0, 1)
    scale = 1 / len(targets)
    return linear_cross_entropy(hidden, model.output.weight, targets, z_loss=z_loss, scale=scale).loss


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_losses_are_open_lms(shared: Path, name: str) -> None:
    case = read_case(shared, name)
    check_outputs(case)
    rows = torch.from_numpy(case.expected["chunk"]).long()
    assert loss_of(case.model, rows).item() == pytest.approx(float(case.expected["loss_total"]), rel=1e-6)
    assert loss_of(case.model, rows, 0.0).item() == pytest.approx(float(case.expected["loss_ce"]), rel=1e-6)
    weak = loss_of(case.model, rows, 5e-6).item()
    assert weak == pytest.approx(float(case.expected["loss_total_z5e-6"]), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_formula_weights_give_open_lms_outputs(shared: Path, name: str) -> None:
    case = read_case(shared, name, "formula_io")
    fill_by_formula(case.model)
    check_outputs(case)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_norms_are_open_lms(shared: Path, name: str) -> None:
    model, expected = read_case(shared, name)
    loss_of(model, torch.from_numpy(expected["chunk"]).long()).backward()
    found = {key: float(p.grad.double().norm()) for key, p in model.named_parameters() if p.grad is not None}
    wanted = dict(zip(expected["grad_names"].tolist(), expected["grad_norms"].tolist(), strict=True))
    assert found == pytest.approx(wanted, rel=1e-4)


def plain_loss(model: Transformer, rows: torch.Tensor) -> torch.Tensor:
    """The loss as the reference computes it: all logits at once."""
    logits = model(rows[:, :-1]).flatten(0, 1)
    entropy = torch.nn.functional.cross_entropy(logits, rows[:, 1:].flatten())
    return entropy + 1e-4 * logits.logsumexp(-1).square().mean()


def update(
    model: Transformer,
    chunks: np.ndarray,
    loss: Callable[..., torch.Tensor],
    fused: bool,
    look: Callable[[Transformer], None] = lambda model: None,
) -> Optimizer:
    """One update per chunk at the rates of 411m_1x from update 1999 on, as in the reference.

    look: called before each update, when the gradients are clipped.
    """
    scale = SCALES["411m_1x"]
    optimizer = make_optimizer(model.parameters(), scale, fused=fused)
    for index, chunk in enumerate(chunks):
        loss(model, torch.from_numpy(chunk).long()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        look(model)
        set_learning_rate(optimizer, learning_rate(scale, 1999 + index))
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def gaps_after(model: Transformer, shared: Path, num_steps: int) -> dict[str, np.ndarray]:
    """How far each weight is from the reference's."""
    full = read(shared / "conformance" / "open_lm" / f"{NAMES[0]}.after{num_steps}.npz")
    return {key: np.abs(model.get_parameter(key).detach().numpy() - value) for key, value in full.items()}


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fast"])
def test_an_update_is_open_lms_where_the_gradient_is_not_rounding_error(shared: Path, fused: bool) -> None:
    """AdamW divides a gradient by its size, so if it is rounding error, the processor's matrix kernels decide."""
    model, expected = read_case(shared, NAMES[0], "train")
    gradients: dict[str, np.ndarray] = {}

    def look(model: Transformer) -> None:
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradients[key] = parameter.grad.abs().numpy().copy()

    update(model, expected["chunks"][:1], loss_of if fused else plain_loss, fused=fused, look=look)
    gaps = gaps_after(model, shared, 1)
    known = {key: gradients[key] >= 1e-6 for key in gaps}
    assert np.mean(np.concatenate([each.ravel() for each in known.values()])) > 0.9
    for key, gap in gaps.items():
        assert np.all(gap[known[key]] <= 2e-6), key
        assert gap.max() < 1e-3, key


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fast"])
def test_four_updates_are_open_lms_but_for_few_weights(shared: Path, fused: bool) -> None:
    """The effects of rounding in the first update propagate to the gradients of later ones."""
    model, expected = read_case(shared, NAMES[0], "train")
    update(model, expected["chunks"][:4], loss_of if fused else plain_loss, fused=fused)
    gap = np.concatenate([each.ravel() for each in gaps_after(model, shared, 4).values()])
    assert np.mean(gap > 2e-6) < 1e-3
    assert gap.max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_steps", [1, 4])
def test_norms_of_weights_and_moments_after_updates_are_open_lms(shared: Path, name: str, num_steps: int) -> None:
    model, expected = read_case(shared, name, "train")
    optimizer = update(model, expected["chunks"][:num_steps], loss_of, fused=True)
    parameters = [model.get_parameter(key) for key in expected[f"after{num_steps}_names"].tolist()]
    norms = [float(p.detach().double().norm()) for p in parameters]
    np.testing.assert_allclose(norms, expected[f"after{num_steps}_param_norm"], rtol=1e-6)
    found = [float(optimizer.state[p]["exp_avg"].double().norm()) for p in parameters]
    np.testing.assert_allclose(found, expected[f"after{num_steps}_exp_avg_norm"], rtol=1e-4)


def test_a_batch_in_two_halves_gives_open_lms_weights(shared: Path) -> None:
    model, expected = read_case(shared, NAMES[0], "train")

    def halves(model: Transformer, rows: torch.Tensor) -> torch.Tensor:
        first, second = (loss_of(model, half) / 2 for half in rows.chunk(2))
        return first + second

    update(model, expected["chunks"][:1], halves, fused=True)
    parameters = [model.get_parameter(key) for key in expected["after1_names"].tolist()]
    norms = [float(p.detach().double().norm()) for p in parameters]
    np.testing.assert_allclose(norms, expected["accum2_param_norm"], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_continuations_are_open_lms(shared: Path, name: str) -> None:
    """Greedy output of its Hugging Face wrapper, through the cache one token at a time."""
    model, expected = read_case(shared, name, "hf_eval")
    tokens = torch.from_numpy(expected["ids"]).long()
    whole = expected["generated_nopad_nocache"]
    cache = model.new_cache(len(tokens), whole.shape[1])
    found = [tokens]
    with torch.no_grad():
        while len(found) <= whole.shape[1] - tokens.shape[1]:
            logits = model(found[-1], cache=cache)
            if len(found) == 1:
                np.testing.assert_array_equal(logits.argmax(-1).numpy(), expected["argmax"])
                if "logits" in expected:
                    np.testing.assert_allclose(logits.numpy(), expected["logits"], atol=1e-4)
            found.append(logits[:, -1:].argmax(-1))
    np.testing.assert_array_equal(torch.cat(found, 1).numpy(), whole)


@pytest.mark.parametrize(("head_dim", "seq_len"), [(16, 128), (128, 2048)])
def test_rotary_tables_are_open_lms(shared: Path, head_dim: int, seq_len: int) -> None:
    expected = read(shared / "conformance" / "open_lm" / "rotary_tables.npz")
    name = f"hd{head_dim}_s{seq_len}"
    tables = Rotary(head_dim)(torch.from_numpy(expected[f"{name}_pos"]), torch.float32)
    for found, kind in zip(tables, ("cos", "sin"), strict=True):
        both = torch.cat((found, found), dim=-1)[:, 0].numpy()  # theirs contain each frequency twice
        np.testing.assert_allclose(both, expected[f"{name}_fp32_{kind}"], atol=1e-6)


def test_rounded_rotary_frequencies_of_a_checkpoint_are_honoured(shared: Path) -> None:
    case = read_case(shared, NAMES[0])
    expected = read(shared / "conformance" / "open_lm" / f"{NAMES[0]}.invfreq_bf16.npz")
    rows = torch.from_numpy(case.expected["chunk"]).long()[:, :-1]
    np.testing.assert_array_equal(case.model.rotary.inv_freq.numpy(), expected["inv_freq_fp32"])
    case.model.rotary.inv_freq = torch.from_numpy(expected["inv_freq_bf16_rounded"])
    with torch.no_grad():
        found = case.model(rows).numpy()
    np.testing.assert_allclose(found, expected["logits_tables_rebuilt_from_rounded"], atol=1e-4)
    assert np.abs(found - expected["logits_fp32"]).max() > 1e-3


def test_bfloat16_compute_stays_near_open_lms(shared: Path) -> None:
    model, expected = read_case(shared, NAMES[0])
    model.compute_dtype = torch.bfloat16
    found = loss_of(model, torch.from_numpy(expected["chunk"]).long()).item()
    assert found == pytest.approx(float(expected["loss_total_cpu_autocast_bf16"]), rel=2e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_scales_have_the_references_size_steps_and_rates(shared: Path, name: str) -> None:
    data = json.loads((shared / "conformance" / "open_lm" / "schedules.json").read_text())
    schedule, scale = data["schedules"][PUBLISHED[name]], SCALES[name]
    counts = data["param_counts"].get(PUBLISHED[name]) or data["param_counts"][PUBLISHED["7b_1x"]]
    assert scale.model.published_parameters == counts["params_in_scale_json"]
    assert scale.model.num_parameters == counts["params_reference_model"]
    assert scale.model.ffn_dim == counts["ffn_hidden"]
    assert scale.num_steps == schedule["total_steps"]
    found = (scale.weight_decay, scale.z_loss, scale.batch_sequences, scale.warmup_steps)
    assert found == tuple(schedule[key] for key in ("wd", "z_loss", "global_batch_size", "warmup"))
    for step, rate in schedule["lr_at"].items():
        assert learning_rate(scale, int(step)) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_names_and_shapes_are_open_lms(shared: Path, name: str) -> None:
    data = json.loads((shared / "conformance" / "open_lm" / "schedules.json").read_text())
    counts = data["param_counts"].get(PUBLISHED[name]) or data["param_counts"][PUBLISHED["7b_1x"]]
    with torch.device("meta"):
        state = Transformer(SCALES[name].model).state_dict()
    for key, shape in counts["names_shapes_layer0"].items():
        ours = "rotary.inv_freq" if key.endswith("inv_freq") else key
        assert list(state[ours].shape) == shape
