"""The planted world, with really trained proxies: one seed here, ten by `python -m tests.bench.bench_mix_world`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mix_world import GROUP, IMPORTANCE, SOURCES, find_best, is_inside, letters, write_world


def test_the_known_best_mixture_is_the_best() -> None:
    """Cross-entropy of the letters under those of a mixture, over a grid of mixtures."""
    shares = np.array([[letters(i, equal=False).count(c) for c in "abcdefghijkl"] for i in range(len(SOURCES))])
    frequencies = shares / shares.sum(axis=1, keepdims=True)
    grid = np.array([(x / 20, y / 20, 1 - (x + y) / 20) for x in range(21) for y in range(21 - x)])
    loss = -np.log(grid @ frequencies) @ (IMPORTANCE @ frequencies)
    assert grid[loss.argmin()] == pytest.approx(IMPORTANCE, abs=1e-9)
    assert len({letters(i, equal=True) for i in range(len(SOURCES))}) == 1
    assert GROUP * len(SOURCES) == 12


@pytest.mark.slow
def test_trained_proxies_find_the_known_best_mixture(tmp_path: Path) -> None:
    best = find_best(write_world(tmp_path / "world", seed=0), tmp_path / "out")
    assert is_inside(best)
    assert best["decided"]
