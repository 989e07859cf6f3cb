"""Data order, rates and scales as laws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.model.config import ModelConfig
from dclm.train.data import Order
from dclm.train.optim import learning_rate
from dclm.train.scale import SCALES, find_scale, with_tokens
from dclm.train.throughput import model_flops_utilization


@settings(deadline=None)
@given(rows=st.integers(1, 40), batch=st.integers(1, 13), ranks=st.integers(1, 13), seed=st.integers(0, 3))
def test_ranks_read_parts_of_one_order_and_every_row_once_an_epoch(
    rows: int, batch: int, ranks: int, seed: int
) -> None:
    order = Order(num_sequences=rows, batch_sequences=batch, seed=seed)
    steps = -(-3 * rows // batch)
    shares = [len(order.batch(0, rank, ranks)) for rank in range(ranks)]
    assert max(shares) == order.largest_share(ranks)
    assert max(shares) - min(shares) <= 1
    alone = np.concatenate([order.batch(step) for step in range(steps)])
    together = np.concatenate([order.batch(step, rank, ranks) for step in range(steps) for rank in range(ranks)])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone[:rows], np.arange(rows))
    for epoch in (1, 2):
        assert sorted(alone[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_later_epochs_have_orders_of_their_own() -> None:
    order = Order(num_sequences=50, batch_sequences=50, seed=1)
    epochs = [order.batch(step).tolist() for step in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    other = Order(num_sequences=50, batch_sequences=50, seed=2)
    assert other.batch(1).tolist() != epochs[1]


@pytest.mark.parametrize("name", list(SCALES))
def test_every_scale_warms_up_and_cools_down(name: str) -> None:
    scale = SCALES[name]
    assert learning_rate(scale, scale.warmup_steps - 1) == scale.learning_rate
    assert learning_rate(scale, scale.num_steps) == pytest.approx(scale.final_learning_rate)
    assert scale.warmup_steps < scale.num_steps / 2.5
    assert scale.batch_sequences % scale.micro_batch_sequences == 0
    assert 0 <= scale.tokens - scale.trained_tokens <= scale.tokens * 0.02


@pytest.mark.parametrize(
    ("name", "millions"), [("5m", 5), ("12m", 12), ("25m", 25), ("50m", 50), ("85m", 85), ("154m", 154)]
)
def test_the_ladder_has_the_sizes_of_its_names_and_twenty_tokens_a_parameter(name: str, millions: int) -> None:
    scale = SCALES[name]
    assert round(scale.model.published_parameters / 1e6) == pytest.approx(millions, rel=0.03)
    assert scale.tokens == 20 * scale.model.published_parameters


def test_unknown_scales_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"allowed: .*tiny, 5m.*\nhint: did you mean `411m_1x`"):
        find_scale("411m_1")


def test_multiples_of_a_scale_change_its_tokens_alone() -> None:
    for name, base, times in (("25m_2x", "25m", 2), ("411m_4x", "411m_1x", 4), ("7b_1.5x", "7b_1x", 1.5)):
        scale = find_scale(name)
        assert scale.name == name
        assert scale.standard
        assert scale.tokens == times * SCALES[base].tokens
        assert dataclasses.replace(scale, name=base, tokens=SCALES[base].tokens) == SCALES[base]
    assert find_scale("7b_2x") is SCALES["7b_2x"]
    few = find_scale("5m_0.01x")
    assert few.warmup_steps == few.num_steps // 10
    for name in ("25m_1x", "25m_0x", "25m_x", "26m_2x", "25m_-2x", "tiny_2x", "2x"):
        with pytest.raises(ConfigError, match="multiples of their tokens"):
            find_scale(name)


def test_fewer_tokens_shorten_the_warm_up_and_too_few_are_refused() -> None:
    scale = with_tokens(SCALES["5m"], 10_000_000)
    assert not scale.standard
    assert scale.warmup_steps == scale.num_steps // 10
    assert with_tokens(SCALES["5m"], None) is SCALES["5m"]
    with pytest.raises(ConfigError, match="or more"):
        with_tokens(SCALES["5m"], 1000)


def test_flops_count_products_and_causal_attention() -> None:
    model = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=32, vocab_size=100)
    products = 2 * (4 * 16 * 16 + 3 * 16 * 256) + 100 * 16
    attention = 2 * 2 * 2 * 16 * 33 / 2  # two products, causal: (T + 1) / 2 keys a token, in each of two layers
    assert model.flops_per_token == pytest.approx(3 * (2 * products + attention), rel=0.01)
    assert model_flops_utilization(100.0, 50, 1e4, 2) == 0.25


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="even width"):
        dataclasses.replace(SCALES["tiny"].model, num_heads=5)
