"""The shape that datasketch chooses for a threshold, and the pairs that it finds."""

from __future__ import annotations

import pytest
from datasketch import MinHashLSH

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.dedup.minhash.bands import Bands, best_bands


@pytest.mark.parametrize(("threshold", "permutations"), [(0.8, 128), (0.5, 256), (0.9, 300), (0.1, 64)])
def test_shapes_are_datasketchs(threshold: float, permutations: int) -> None:
    judge = MinHashLSH(threshold=threshold, num_perm=permutations)
    assert best_bands(threshold, permutations) == (judge.b, judge.r)


def test_recall_may_weigh_more() -> None:
    even, eager = best_bands(0.8, 128), best_bands(0.8, 128, recall_weight=0.95)
    assert eager.found(0.8) > even.found(0.8)
    assert eager.found(0.5) > even.found(0.5)


def test_half_of_the_pairs_are_found_at_the_threshold_of_a_shape() -> None:
    paper = Bands(93, 15)
    assert paper.found(paper.threshold) == pytest.approx(0.5)
    assert paper.found(0.0) == 0
    assert paper.found(1.0) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 128), "found 0, allowed: above 0"),
        ((1.0, 128), "found 1, allowed: above 0"),
        ((float("nan"), 128), "found nan"),
        ((0.8, 1), "found 1, allowed: 2 to"),
        ((0.8, 10**9), "found 1,000,000,000, allowed"),
        ((0.99999, 8), "no shape of two bands"),
        ((0.8, 128, 1.5), "found 1.5, allowed: 0 to 1"),
    ],
)
def test_what_has_no_answer_is_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        best_bands(*arguments)  # type: ignore[arg-type]


def test_the_command_prints_what_a_pipeline_takes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["dedup", "bands", "0.8", "--permutations", "128"])
    out = capsys.readouterr().out
    assert out.startswith("minhash: {bands: 9, rows: 13}  # 117 of 128 permutations\n")
    assert "0.80" in out
    assert f"{Bands(9, 13).found(0.8):.2%}" in out
