"""Mixtures in phases: every part of the order has the exact share of each source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.engine.local import LocalEngine
from dclm.tokens import shuffle
from dclm.tokens.config import Phase
from dclm.tokens.curriculum import Turns, phase_rows, stretches
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.stage import TokenizeConfig, tokenize

Write = Callable[[str, Sequence[Sequence[str]]], Path]
ROWS = st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(sum)


@given(rows=ROWS, cuts=st.lists(st.integers(1, 200), max_size=5))
def test_after_any_number_of_rows_every_source_has_had_its_share(rows: list[int], cuts: list[int]) -> None:
    total = sum(rows)
    order = Turns(rows).take(total)
    assert np.bincount(order, minlength=len(rows)).tolist() == rows
    for source, wanted in enumerate(rows):
        had = np.cumsum(order == source)
        assert np.abs(had - wanted * np.arange(1, total + 1) / total).max() < 1
    pieces, past = [], [0] * len(rows)
    for cut in [*cuts, total]:
        turns = Turns(rows, past)
        pieces.append(turns.take(min(cut, total - sum(past))))
        past = list(turns.past)
    assert np.concatenate(pieces).tolist() == order.tolist()


@given(phases=st.lists(ROWS.map(lambda rows: rows[:1]), min_size=1, max_size=4), size=st.integers(1, 100))
def test_stretches_cover_every_row_of_every_phase_once(phases: list[list[int]], size: int) -> None:
    total = sum(map(sum, phases))
    found = [part for piece in stretches(total, size, phases) for part in piece]
    for index, phase in enumerate(phases):
        parts = [(first, count) for number, first, count in found if number == index]
        assert [first for first, _ in parts] == np.cumsum([0, *(count for _, count in parts)])[:-1].tolist()
        assert sum(count for _, count in parts) == sum(phase)


def rows(config: dict[str, Any], available: list[int], reads: list[int] | None = None) -> list[tuple[int, ...]]:
    names = [f"source {i}" for i in range(len(available))]
    return phase_rows(TokenizeConfig(seq_len=10, **config), available, reads or available, names)


def test_phases_divide_the_tokens_and_each_has_its_mixture() -> None:
    phases = (Phase(share=3, weights=(3, 1)), Phase(share=1, weights=(0, 1)))
    assert rows({"phases": phases, "num_tokens": 4000}, [300, 300]) == [(225, 75), (0, 100)]
    with pytest.raises(ConfigError, match="175 sequences are needed from source 1, which has 100"):
        rows({"phases": phases, "num_tokens": 4000}, [300, 100])
    assert rows({"phases": phases, "num_tokens": 4000, "source_repeats": (1, 2)}, [300, 100])[1] == (0, 100)
    with pytest.raises(ConfigError, match="numbers ≥ 0, one positive"):
        rows({"phases": (Phase(share=1, weights=(0, 0)),), "num_tokens": 40}, [30, 30])


@given(
    available=st.lists(st.integers(1, 1000), min_size=1, max_size=5),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 5.0, 100.0]),
    part=st.floats(0.01, 1),
)
@settings(max_examples=100)
def test_a_temperature_flattens_the_sizes_within_the_caps(
    available: list[int], temperature: float, part: float
) -> None:
    total = max(1, int(sum(available) * part))
    (taken,) = rows({"temperature": temperature, "num_tokens": total * 10}, available)
    assert sum(taken) == total
    assert all(take <= have for take, have in zip(taken, available, strict=True))
    open_ = [i for i, take in enumerate(taken) if take < available[i]]
    exact = [Fraction(available[i] ** (1 / temperature)) for i in open_]
    rest = sum(taken[i] for i in open_)
    for i, weight in zip(open_, exact, strict=True):
        assert abs(taken[i] - weight * rest / sum(exact)) <= 1


def test_weights_can_be_shares_of_documents() -> None:
    assert rows({"weights": (1, 1), "num_tokens": 1000}, [100, 100], [10, 50]) == [(50, 50)]
    by_documents = {"weights": (1, 1), "weights_by": "documents", "num_tokens": 1200, "source_repeats": (1, 1)}
    assert rows(by_documents, [100, 100], [10, 50]) == [(100, 20)]


def test_settings_that_exclude_each_other_are_refused() -> None:
    for bad in (
        {"weights": (1.0,), "temperature": 2.0, "num_tokens": 5},
        {"temperature": 2.0},
        {"phases": (Phase(share=1, weights=(1,)),)},
        {"temperature": -1.0, "num_tokens": 5},
    ):
        with pytest.raises(ValueError, match=r"temperature|phases"):
            TokenizeConfig(**bad)


PHASES = (Phase(share=0.6, weights=(2, 1)), Phase(share=0.4, weights=(1, 4)))


def sources_of(out: Path, words: Sequence[int]) -> list[int]:
    """Which source each row came from, by a token that only one has."""
    data = TokenDataset(out, verify=True)
    found = data.rows(range(len(data)))
    return [next(i for i, word in enumerate(words) if (row == word).any()) for row in found]


@pytest.mark.parametrize(("held", "workers"), [(1 << 20, (1,)), (1, (1, 3))])
def test_a_curriculum_has_exact_shares_in_every_prefix_at_any_worker_count(
    tokenizer_json: str,
    write_jsonl: Write,
    tmp_path: Path,
    held: int,
    workers: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shuffle, "GROUP_BYTES", held)
    pools = [write_jsonl("one", [["!"] * 700, ["!"] * 300]), write_jsonl("two", [["?"] * 500])]
    config = TokenizeConfig(
        seq_len=9, rows_per_shard=32, seed=2, phases=PHASES, num_tokens=9 * 300, source_repeats=(1, 2)
    )
    made = []
    for count in workers:
        out = tmp_path / f"out{count}"
        tokenize(pools, out, tokenizer=tokenizer_json, config=config, engine=LocalEngine(count))
        made.append({f.path: f.sha256 for f in read_record(out).files})
    assert made[0] == made[-1]
    counts: Any = read_record(tmp_path / "out1").counts
    assert counts["phases"] == [{"one": 120, "two": 60}, {"one": 24, "two": 96}]
    assert [s["taken"] for s in counts["sources"]] == [144, 156]
    marks = [Tokenizer.from_file(tokenizer_json).encode(text).ids[0] for text in "!?"]
    one = np.array(sources_of(tmp_path / "out1", marks)) == 0
    assert np.abs(np.cumsum(one[:180]) - np.arange(1, 181) * 2 / 3).max() < 1
    assert np.abs(np.cumsum(one[180:]) - np.arange(1, 121) / 5).max() < 1
