"""Scores, thresholds and quantile cuts."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context
from dclm.dedup.serial import decide
from dclm.select.fasttext_score import FastTextScore
from dclm.select.quality import Threshold
from dclm.select.quantile import Quantile

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from([0.0, -0.0, 0.5, 1.0, 5e-324])


def make_batch(values: list[float | None], first: int = 0, kind: pa.DataType | None = None) -> pa.RecordBatch:
    rows = pa.array(range(first, first + len(values)), pa.int64())
    return pa.RecordBatch.from_pydict({"_row": rows, "quality": pa.array(values, kind or pa.float64())})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    lines = ["__label__hq good clear words", "__label__cc buy cheap pills now"] * 20
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    trained = fasttext.train_supervised(
        str(folder / "train.txt"), dim=4, epoch=20, bucket=10, thread=1, verbose=0, seed=1, lr=0.5
    )
    trained.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def score(step: FastTextScore, path: Path, texts: list[str]) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(Context(files={step.model: str(path)}))(batch)


def test_the_score_is_the_probability_of_the_positive_label(model: Path) -> None:
    texts = ["good clear words", "buy cheap pills", "", "  good\n\nbuy\r\nwords \u2028 x", "unknown"]
    scores = score(FastTextScore(model="m"), model, texts)["quality"].to_pylist()
    loaded = fasttext.load_model(str(model))
    for text, found in zip(texts, scores, strict=True):
        (label,), (probability,) = loaded.predict(" ".join(text.strip().splitlines()))
        assert found == (probability if label == "__label__hq" else 1 - probability)
    assert scores[0] > 0.5 > scores[1]
    other = score(FastTextScore(model="m", positive="__label__cc", column="spam"), model, texts)["spam"].to_pylist()
    assert np.allclose(np.array(scores) + np.array(other), 1, atol=1e-4)


def test_no_documents_have_no_scores(model: Path) -> None:
    assert score(FastTextScore(model="m"), model, []).schema.field("quality").type == pa.float64()


def test_a_wrong_label_is_answered_with_those_of_the_model(model: Path) -> None:
    with pytest.raises(ConfigError, match="no label __label__good, allowed: __label__cc, __label__hq"):
        score(FastTextScore(model="m", positive="__label__good"), model, [])


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(AssetError, match="not a fastText model"):
        score(FastTextScore(model="m"), tmp_path / "model.bin", [])


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"min": 0.5}, [False, True, True, False, False]),
        ({"max": 0.5}, [True, True, False, False, False]),
        ({"min": 0.5, "max": 0.5}, [False, True, False, False, False]),
    ],
)
def test_thresholds_are_inclusive_and_keep_no_missing_value(fields: dict[str, float], kept: list[bool]) -> None:
    keep = Threshold(column="quality", **fields).open(Context())
    assert keep(make_batch([0.4999999, 0.5, 0.6, None, math.nan])).to_pylist() == kept


def test_thresholds_apply_to_whole_numbers_too() -> None:
    keep = Threshold(column="quality", min=3).open(Context())
    assert keep(make_batch([2, 3, None], kind=pa.int64())).to_pylist() == [False, True, False]


def test_a_column_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no column score, found: quality"):
        Threshold(column="score", min=1).open(Context())(make_batch([1.0]))
    with pytest.raises(ConfigError, match="is string, allowed: numbers"):
        Threshold(column="quality", min=1).open(Context())(make_batch(["a"], kind=pa.string()))  # type: ignore[list-item]


@pytest.mark.parametrize("text", ["column: a", "{column: a, min: 2, max: 1}", "{column: a, min: .nan}"])
def test_wrong_bounds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        build(Threshold, parse_yaml(text))


@given(st.lists(NUMBERS, max_size=60), st.floats(0.01, 1), st.integers(1, 4))
def test_the_quantile_keeps_the_highest_and_what_equals_the_last_of_them(
    values: list[float], keep_top: float, shards: int
) -> None:
    parts = [values[i::shards] for i in range(shards)]
    decision = decide(Quantile(column="quality", keep_top=keep_top), [[make_batch(list(p))] for p in parts])
    gone = {(r["shard"], r["row"]) for r in decision.drops.to_pylist()}
    ranked = sorted((v for v in values if not math.isnan(v)), reverse=True)
    wanted = math.ceil(keep_top * len(ranked) - 1e-9)
    cut = ranked[wanted - 1] if wanted else None
    assert decision.info == {"column": "quality", "documents": len(ranked), "cut": cut}
    expected = {(s, i) for s, p in enumerate(parts) for i, v in enumerate(p) if cut is None or not v >= cut}
    assert gone == expected


@settings(deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False) | st.sampled_from([0.25, 0.5]), min_size=1, max_size=80),
    st.integers(1, 100),
    st.permutations(range(5)),
)
def test_the_cut_is_numpys_and_does_not_depend_on_how_values_are_spread(
    values: list[float], percent: int, order: list[int]
) -> None:
    step = Quantile(column="quality", keep_top=percent / 100)
    wanted = -(-percent * len(values) // 100)  # in whole numbers
    expected = np.sort(np.array(values))[len(values) - wanted]
    table = pa.table({"shard": pa.array([0] * len(values), pa.int32()), "row": range(len(values)), "value": values})
    place = np.arange(len(values)) % 5
    spread = [table.filter(pa.array(place == part)) for part in order]
    whole, parts = step.decide([table]), step.decide(spread)
    assert whole.info["cut"] == expected
    assert whole.info == parts.info
    assert whole.drops.equals(parts.drops)
    keep = Threshold(column="quality", min=float(expected)).open(Context()) if math.isfinite(expected) else None
    if keep is not None:  # the literal in the record does what the quantile did
        kept = np.flatnonzero(keep(make_batch(list(values))).to_numpy(zero_copy_only=False))
        assert sorted({*range(len(values))} - {*kept.tolist()}) == whole.drops["row"].to_pylist()


@pytest.mark.parametrize(
    ("values", "keep_top", "dropped", "cut"),
    [
        ([0.5] * 4, 0.25, [], 0.5),
        ([0.5], 0.01, [], 0.5),
        ([None], 1.0, [0], None),
        ([math.nan, None, 1.0], 1.0, [0, 1], 1.0),
        ([-math.inf, math.inf, 0.0], 0.3, [0, 2], math.inf),
        ([-0.0, 0.0], 0.5, [], 0.0),
        ([], 0.5, [], None),
    ],
)
def test_quantiles_of_few_equal_and_missing_values(
    values: list[float | None], keep_top: float, dropped: list[int], cut: float | None
) -> None:
    decision = decide(Quantile(column="quality", keep_top=keep_top), [[make_batch(values)]])
    assert decision.drops["row"].to_pylist() == dropped
    assert decision.info["cut"] == cut


def test_whole_numbers_of_any_size_have_quantiles() -> None:
    batch = make_batch([2**62, 3, 2**60], kind=pa.int64())
    assert decide(Quantile(column="quality", keep_top=0.5), [[batch]]).info["cut"] == float(2**60)


def test_the_top_tenth_of_thirty_is_three() -> None:
    decision = decide(Quantile(column="quality", keep_top=0.1), [[make_batch([float(i) for i in range(30)])]])
    assert decision.drops.num_rows == 27
    assert decision.info["cut"] == 27.0


def test_documents_without_value_neither_count_nor_stay() -> None:
    decision = decide(Quantile(column="quality", keep_top=0.5), [[make_batch([None, 1.0, None, 2.0])]])
    assert [r["row"] for r in decision.drops.to_pylist()] == [0, 1, 2]


@pytest.mark.parametrize("per", [None, "label"])
def test_parts_between_fractions_take_every_document_once(per: str | None) -> None:
    values = [float(v) for v in (6, 1, 1, 1, 9, 4, 4, 7, 8, 2, 3, 6, 6, 0)]
    batch = make_batch([*values, None])
    batch = batch.append_column("label", pa.array(["one"] * 15))
    bounds, above = (0.0, 0.3, 0.6, 1.0), None
    kept: list[list[float]] = []
    for part in pairwise(bounds):
        decision = decide(Quantile(column="quality", keep_between=part, per=per), [[batch]])
        gone = set(decision.drops["row"].to_pylist())
        kept.append(sorted(values[i] for i in range(14) if i not in gone))
        assert 14 in gone
        found = decision.info if per is None else next(iter(decision.tables["cuts"])).to_pylist()[0]
        assert found["cut"] == max(kept[-1])
        assert found["above"] == above
        above = found["cut"]
    assert [value for part in kept for value in part] == sorted(values)
    assert [len(part) for part in kept] == [5, 6, 3]  # ⌈0.3 · 14⌉ = 5; ⌈0.6 · 14⌉ = 9, and what equals the ninth


@pytest.mark.parametrize(
    "text", ["keep_between: [0.5]", "keep_between: [0.6, 0.3]", "keep_top: 0.5, keep_between: [0, 1]"]
)
def test_wrong_fractions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="keep_between"):
        build(Quantile, parse_yaml(f"{{column: a, {text}}}"))


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        build(Quantile, parse_yaml("{column: a, keep_top: 0}"))
