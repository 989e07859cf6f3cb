"""The order of an open_lm run: equal to that of its own pipeline, and used by a training run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dclm.core.errors import DataError
from dclm.tokens.dataset import TokenDataset
from dclm.train.data import Order
from dclm.train.open_lm_order import OpenLmOrder
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

MakeTokens = Callable[..., Path]
UNEVEN = [100, 90, 100, 64, 100, 100, 80, 77, 100, 100, 100, 100]


@pytest.mark.parametrize(
    ("shards", "sequences", "batch", "steps", "order", "expected"),
    [
        ([300] * 6, 900, 8, 180, OpenLmOrder(ranks=1), "974e1866e41ab652"),
        ([700, 650, 700, 640, 10, 700, 700, 500], 1200, 16, 150, OpenLmOrder(ranks=2, seed=124), "8e878435aaebc2bf"),
        (UNEVEN, 380, 8, 100, OpenLmOrder(ranks=2, workers=2, seed=3), "7d28de92f7569fc9"),
        (UNEVEN, 380, 8, 100, OpenLmOrder(ranks=2, workers=2, seed=3, buffer=False), "89e33cc0bae8509e"),
    ],
)
def test_the_order_is_that_of_open_lms_pipeline(
    shards: list[int], sequences: int, batch: int, steps: int, order: OpenLmOrder, expected: str
) -> None:
    """Hashes of the rows from the stages of open_lm's `data.py` with webdataset 1.0.2 and torch's DataLoader."""
    found = order.indices(shards, sequences, batch, steps)
    assert found.shape == (steps * batch,)
    assert hashlib.sha256(found.astype("<i8").tobytes()).hexdigest()[:16] == expected


def test_without_a_buffer_ranks_and_workers_take_turns() -> None:
    order = OpenLmOrder(ranks=2, workers=2, buffer=False)
    found = order.indices([4, 4, 4, 4], 16, 4, 4).reshape(4, 4)
    assert found.tolist() == [[0, 1, 4, 5], [8, 9, 12, 13], [2, 3, 6, 7], [10, 11, 14, 15]]


def test_what_open_lm_cannot_read_is_told() -> None:
    with pytest.raises(DataError, match="more than the 3 shards"):
        OpenLmOrder(ranks=2, workers=2).indices([9, 9, 9], 20, 4, 4)
    with pytest.raises(DataError, match="a multiple of the ranks"):
        OpenLmOrder(ranks=3).indices([9, 9, 9], 20, 4, 4)
    with pytest.raises(DataError, match="rank 0, worker 0 has fewer than 2 sequences"):
        OpenLmOrder(ranks=2).indices([9, 1], 10, 4, 2)


def test_a_run_reads_in_that_order_at_any_number_of_ranks_and_says_so(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    how = OpenLmOrder(ranks=1, checkpoints=1)
    made = [
        train(
            tokens,
            tmp_path / name,
            scale=small_scale,
            seed=0,
            options=TrainOptions(precision="fp32", open_lm_order=order),
        )
        for name, order in (("own", None), ("open_lm", how))
    ]
    assert made[1].config["open_lm_order"] == {
        "ranks": 1, "workers": 1, "checkpoints": 1, "seed": 0, "buffer": True,
    }  # fmt: skip
    assert made[1].config["standard"] is False
    assert made[0].fingerprint != made[1].fingerprint
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("own", "open_lm")]
    assert metrics[0] != metrics[1]
    rows = how.indices(TokenDataset(tokens).shard_rows, 160, 8, 20)
    assert sorted(rows.tolist()) == list(range(160))
    order = Order(num_sequences=160, batch_sequences=8, seed=0, stated=rows)
    parts = [order.batch(3, rank, 3) for rank in range(3)]
    assert np.array_equal(np.concatenate(parts), rows[24:32])
