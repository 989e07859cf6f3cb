"""fastText models of several classes, words that fastText takes for syntax, and cuts per group."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from engine_runs import run_twice, write_pool

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.step import Context
from dclm.dedup.serial import decide
from dclm.select.classifier.metrics import summarize_classes
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.classifier.train import train_classifier
from dclm.select.fasttext_score import FastTextScore, as_line
from dclm.select.groups import group_keys, group_names
from dclm.select.quality import Threshold
from dclm.select.quantile import Quantile

WORDS = {
    "town": ["mayor", "town", "news", "today", "street"],
    "spam": ["casino", "pills", "cheap", "buy", "winner"],
    "prose": ["river", "mill", "stone", "wheel", "grain"],
}


def texts_of(name: str, count: int, seed: int) -> list[str]:
    draw = random.Random(f"{name} {seed}")
    return [" ".join(draw.choices(WORDS[name], k=12)) for _ in range(count)]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three classes, trained from a spec."""
    folder = tmp_path_factory.mktemp("classes")
    classes = {}
    for name in WORDS:
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts_of(name, 80, 1)))
        classes[name] = (TextSource(path=str(path)),)
    train_classifier(
        ClassifierSpec(classes=classes, dim=4, bucket=50, epochs=20, held_out_fraction=0.25), folder / "out"
    )
    return folder / "out"


def score(step: FastTextScore, model: Path, texts: list[str]) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(Context(files={step.model: str(model)}))(batch)


def test_several_classes_are_trained_and_judged(artifact: Path) -> None:
    metrics = json.loads((artifact / "metrics.json").read_text())
    assert set(metrics["classes"]) == set(WORDS)
    assert metrics["accuracy"] > 0.95
    assert all(row["roc_auc"] > 0.95 for row in metrics["classes"].values())
    assert sum(map(sum, metrics["confusion"])) == metrics["documents"] > 30


def test_every_label_has_the_models_own_probability(artifact: Path) -> None:
    texts = [texts_of(name, 1, 9)[0] for name in WORDS] + ["mayor casino river", ""]
    step = FastTextScore(
        model="m", column="spam", positive="__label__spam", label_column="topic", probability_column="sure",
        columns={"town": "p_town", "__label__prose": "p_prose"},
    )  # fmt: skip
    found = score(step, artifact / "model.bin", texts)
    model = fasttext.load_model(str(artifact / "model.bin"))
    for row, text in zip(found.to_pylist(), texts, strict=True):
        labels, values = model.predict(text, k=-1)
        expected = dict(zip(labels, values, strict=True))
        assert row["spam"] == pytest.approx(expected["__label__spam"])
        assert row["p_town"] == pytest.approx(expected["__label__town"])
        assert row["p_prose"] == pytest.approx(expected["__label__prose"])
        assert (row["topic"], row["sure"]) == (labels[0].removeprefix("__label__"), pytest.approx(values[0]))
        assert row["spam"] + row["p_town"] + row["p_prose"] == pytest.approx(1, abs=1e-3)
    assert found.column("topic").to_pylist()[:3] == list(WORDS)
    assert score(step, artifact / "model.bin", []).schema == found.schema


def test_a_label_that_the_model_lacks_is_refused(artifact: Path) -> None:
    with pytest.raises(ConfigError, match="no label __label__hq, allowed: __label__prose, __label__spam"):
        score(FastTextScore(model="m"), artifact / "model.bin", ["a"])
    for text in ("{model: m, column: null}", "{model: m, label_column: quality}"):
        with pytest.raises(ConfigError):
            build(FastTextScore, parse_yaml(text))


def test_a_word_that_ends_a_line_for_fasttext_does_not_hide_the_rest(artifact: Path) -> None:
    spam, town = texts_of("spam", 1, 3)[0], texts_of("town", 1, 3)[0]
    step = FastTextScore(model="m", column="spam", positive="__label__spam")
    hidden, plain, labelled = score(
        step, artifact / "model.bin", [f"mayor </s> {spam}", f"mayor xyz {spam}", f"__label__town {spam} __label__town"]
    )["spam"].to_pylist()
    assert hidden == pytest.approx(plain, abs=0.01)
    assert labelled > 0.9
    assert score(step, artifact / "model.bin", [f"casino\n</s>\n{town}"])["spam"].to_pylist()[0] < 0.5
    assert as_line("a </s>\t</s> </s>b x</s> </s>") == "a &lt;/s&gt;\t&lt;/s&gt; </s>b x</s> &lt;/s&gt;"
    assert as_line("a __label__b") == "a labelb"


@pytest.mark.parametrize(
    "text",
    [
        "{classes: {a: [{path: x}]}}",
        "{classes: {a: [{path: x}], b: []}}",
        "{classes: {a: [{path: x}], __label__a: [{path: y}]}}",
        "{classes: {a: [{path: x}], b c: [{path: y}]}}",
        "{classes: {a: [{path: x}], b: [{path: y}]}, positives: [{path: z}]}",
        "{positives: [{path: x}]}",
    ],
)
def test_wrong_classes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        build(ClassifierSpec, parse_yaml(text))


def test_classes_that_no_document_is_of_have_no_recall() -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    found = summarize_classes(scores, np.array([0, 1, 1]), ["a", "b", "c"])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert found["classes"]["c"] == {"documents": 0, "precision": None, "recall": None, "roc_auc": None}  # type: ignore[index]
    assert found["classes"]["b"]["precision"] == 1  # type: ignore[index]
    assert summarize_classes(scores[:0], np.zeros(0, np.int64), ["a"])["accuracy"] is None


def made(seed: int, shards: int) -> list[pa.RecordBatch]:
    draw = random.Random(seed)
    values = [None, math.nan, *(i / 10 for i in range(10))]
    found = []
    for _ in range(shards):
        count = draw.randint(0, 40)
        found.append(
            pa.RecordBatch.from_pydict(
                {
                    "_row": pa.array(range(count), pa.int64()),
                    "q": pa.array([draw.choice(values) for _ in range(count)], pa.float64()),
                    "topic": pa.array([draw.choice(["a", "b", "c", None]) for _ in range(count)], pa.string()),
                }
            )
        )
    return found


@pytest.mark.parametrize("fields", [{"keep_top": 0.3}, {"keep_bottom": 0.3}, {"keep_top": 1.0}])
def test_each_group_has_the_quantile_that_it_would_have_alone(fields: dict[str, float]) -> None:
    for seed in range(20):
        shards = made(seed, 3)
        decision = decide(Quantile(column="q", per="topic", **fields), [[batch] for batch in shards])
        gone = {(r["shard"], r["row"]) for r in decision.drops.to_pylist()}
        expected = set()
        cuts = {}
        for topic in ("a", "b", "c", None):
            alone = []
            for batch in shards:
                inside = [t == topic for t in batch.column("topic").to_pylist()]
                alone.append([batch.filter(pa.array(inside, pa.bool_()))])
            whole = decide(Quantile(column="q", **fields), alone)
            expected |= {(r["shard"], r["row"]) for r in whole.drops.to_pylist()}
            if any(part[0].num_rows for part in alone):
                cuts[topic] = (whole.info["documents"], whole.info["cut"])
        assert gone == expected
        (table,) = decision.tables["cuts"]
        assert {r["group"]: (r["documents"], r["cut"]) for r in table.to_pylist()} == cuts


def test_groups_are_columns_domains_and_files() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "url": ["http://www.a.org/x", "https://me@A.org:80", "b.org", None],
            "source": ["f.warc.gz#1", "f.warc.gz#2", "g#x#3", "h"],
            "grade": pa.array([1, 2, None, 1], pa.int64()),
            "q": [0.1, 0.2, 0.3, 0.4],
        }
    )
    assert group_names(batch, "domain", "s").to_pylist() == ["a.org", "a.org", "b.org", None]
    assert group_names(batch, "source", "s").to_pylist() == ["f.warc.gz", "f.warc.gz", "g#x", "h"]
    assert group_names(batch, "grade", "s").to_pylist() == ["1", "2", None, "1"]
    keys = group_keys(group_names(batch, "grade", "s")).to_pylist()
    assert keys[0] == keys[3] != keys[1]
    with pytest.raises(ConfigError, match="column q is double, allowed: text or whole numbers"):
        group_names(batch, "q", "s")
    with pytest.raises(ConfigError, match="no column topic, found: url, source, grade, q"):
        group_names(batch, "topic", "s")


def test_labels_have_thresholds_of_their_own() -> None:
    batch = pa.RecordBatch.from_pydict({"q": [0.3, 0.3, 0.3, 0.9], "topic": ["a", "b", None, "b"]})
    keep = Threshold(column="q", min=0.5, per="topic", min_by={"a": 0.2}).open(Context())
    assert keep(batch).to_pylist() == [True, False, False, True]
    keep = Threshold(column="q", max=0.5, per="topic", min_by={"b": 0.4}).open(Context())
    assert keep(batch).to_pylist() == [True, False, True, False]
    for text in ("{column: q, per: topic}", "{column: q, min_by: {a: 1}}", "{column: q, min: 1, per: topic}"):
        with pytest.raises(ConfigError):
            build(Threshold, parse_yaml(text))
    for text in ("{column: q}", "{column: q, keep_top: 0.1, keep_bottom: 0.1}", "{column: q, keep_bottom: 0}"):
        with pytest.raises(ConfigError):
            build(Quantile, parse_yaml(text))


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    rows = [{"text": t} for name in WORDS for t in texts_of(name, 20, 4)]
    pool = write_pool(tmp_path / "pool", [rows[i::4] for i in range(4)])
    steps = [
        FastTextScore(
            model=str(artifact / "model.bin"), column="spam", positive="__label__spam", label_column="topic"
        ),
        Threshold(column="spam", max=2.0, per="topic", min_by={"town": 0.0}),
        Quantile(column="spam", keep_bottom=0.5, per="topic"),
    ]  # fmt: skip
    record, table = run_twice(steps, pool, tmp_path)
    assert set(table.column("topic").to_pylist()) == set(WORDS)
    assert 30 <= table.num_rows < 45
    decisions = record.counts["decisions"]
    assert isinstance(decisions, dict)
    assert [d["groups"] for d in decisions.values()] == [3]


@pytest.mark.shared
def test_the_shared_cases_of_fasttexts_syntax(shared: Path, tmp_path: Path) -> None:
    case = shared / "cases" / "16_fasttext_syntax"
    model = fasttext.train_supervised(str(case / "three_classes.txt"), dim=8, epoch=20, thread=1, verbose=0, lr=0.5)
    model.save_model(str(tmp_path / "model.bin"))
    text = json.loads((case / "eos.jsonl").read_text())["text"]
    assert as_line(text) == text.replace("</s>", "&lt;/s&gt;")
    step = FastTextScore(model="m", column="good", positive="__label__good")
    (found,) = score(step, tmp_path / "model.bin", ["today mayor town news"])["good"].to_pylist()
    labels, values = model.predict("today mayor town news", k=-1)
    assert found == pytest.approx(dict(zip(labels, values, strict=True))["__label__good"])
    assert found < 0.1
