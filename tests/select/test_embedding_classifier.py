"""Linear heads on embeddings: scikit-learn's numbers, held-out metrics, workers, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from dclm.core.config import build, parse_yaml
from dclm.core.errors import AssetError, ConfigError, DataError
from dclm.curate.step import Context
from dclm.select.classifier.spec import TextSource
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.head import EmbeddingClassifier, HeadSpec, read_head, train_head

WORDS = ["[UNK]", *(f"w{i}" for i in range(60))]
DRAW = random.Random(2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random static embeddings of 60 words."""
    folder = tmp_path_factory.mktemp("static")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(0).standard_normal((len(WORDS), 16)).astype(np.float32)
    save_file({"embeddings": table}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return str(folder)


def texts(first: int, count: int) -> list[str]:
    """Documents of 20 words that come mostly from a range of 20."""
    weights = [4 if first <= i < first + 20 else 1 for i in range(60)]
    return [" ".join(DRAW.choices(WORDS[1:], weights, k=20)) for _ in range(count)]


@pytest.fixture(scope="module")
def spec(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> HeadSpec:
    folder = tmp_path_factory.mktemp("texts")
    classes = {}
    for name, first in (("science", 0), ("sport", 20), ("spam", 40)):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts(first, 120))
        (folder / f"{name}.jsonl").write_text(rows)
        classes[name] = (TextSource(path=str(folder / f"{name}.jsonl")),)
    return HeadSpec(encoder=encoder, classes=classes, held_out_fraction=0.3, seed=4)


def binary(spec: HeadSpec) -> HeadSpec:
    classes = {"hq": spec.classes["science"], "cc": (*spec.classes["sport"], *spec.classes["spam"])}
    return HeadSpec(encoder=spec.encoder, classes=classes, held_out_fraction=0.3, seed=4)


def batch_of(encoder: str, some: list[str]) -> pa.RecordBatch:
    return Embed(model=encoder).open(Context(files={encoder: encoder}))(pa.RecordBatch.from_pydict({"text": some}))


def scored(step: EmbeddingClassifier, batch: pa.RecordBatch) -> pa.RecordBatch:
    return step.open(Context(files={step.model: step.model}))(batch)


def test_a_head_is_scikit_learns_and_says_how_good_it_is(spec: HeadSpec, tmp_path: Path) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    record = train_head(binary(spec), tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    train = [record.counts["train_hq"], record.counts["train_cc"]]
    assert sum(train) + metrics["documents"] == 360  # type: ignore[call-overload]
    assert metrics["roc_auc"] > 0.9
    assert record.counts["held_out"]["roc_auc"] == metrics["roc_auc"]  # type: ignore[index]

    from dclm.select.classifier.examples import split_examples

    two = binary(spec)
    split = split_examples(("hq", "cc"), two.classes, 4, 0.3, str)
    rows = np.array(batch_of(spec.encoder, [e.text for e in split.train]).column("embedding").to_pylist(), np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    model = linear_model.LogisticRegression(tol=1e-8, max_iter=5000).fit(rows, [e.label == "hq" for e in split.train])
    new = batch_of(spec.encoder, texts(0, 20) + texts(30, 20))
    found = scored(EmbeddingClassifier(model=str(tmp_path / "out" / "head.json")), new).column("quality").to_pylist()
    vectors = np.array(new.column("embedding").to_pylist(), np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found, model.predict_proba(vectors)[:, 1], atol=2e-4)


def test_several_classes_have_columns(spec: HeadSpec, tmp_path: Path) -> None:
    train_head(spec, tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.8
    assert sorted(metrics["classes"]) == ["science", "spam", "sport"]
    step = EmbeddingClassifier(
        model=str(tmp_path / "out" / "head.json"), column="p", positive="sport", label_column="topic",
        columns={"science": "a", "spam": "b"},
    )  # fmt: skip
    found = scored(step, batch_of(spec.encoder, [*texts(20, 30), "", "unknown"])).to_pydict()
    assert found["topic"][:30].count("sport") > 24
    assert found["topic"][30:] == found["p"][30:] == found["a"][30:] == [None, None]
    sums = [p + a + b for p, a, b in zip(found["p"][:30], found["a"][:30], found["b"][:30], strict=True)]
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_the_same_sources_give_the_same_bytes(spec: HeadSpec, tmp_path: Path) -> None:
    first, second = train_head(spec, tmp_path / "one"), train_head(spec, tmp_path / "two")
    assert [f.sha256 for f in first.files] == [f.sha256 for f in second.files]
    before = (tmp_path / "one" / "head.json").stat().st_mtime_ns
    assert train_head(spec, tmp_path / "one") == first
    assert (tmp_path / "one" / "head.json").stat().st_mtime_ns == before


def test_what_does_not_fit_is_refused(spec: HeadSpec, tmp_path: Path) -> None:
    train_head(spec, tmp_path / "out")
    head = str(tmp_path / "out" / "head.json")
    batch = batch_of(spec.encoder, ["w1 w2"])
    with pytest.raises(ConfigError, match="no label hq, allowed: science, sport, spam"):
        scored(EmbeddingClassifier(model=head, positive="hq"), batch)
    with pytest.raises(ConfigError, match="no column embedding"):
        scored(EmbeddingClassifier(model=head), batch.drop_columns(["embedding"]))
    short = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(3, np.float16)), 3)
    other = pa.RecordBatch.from_pydict({"text": ["a"], "embedding": short})
    with pytest.raises(ConfigError, match="vectors of 3 numbers, allowed: 16"):
        scored(EmbeddingClassifier(model=head), other)
    for text in ("{}", "[1]", '{"labels": ["a"], "dim": 2, "weights": [[1]], "bias": [0]}', "\x00"):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(AssetError, match="not the head of an embedding classifier"):
            read_head(tmp_path / "wrong.json")
    with pytest.raises(AssetError, match="not the head of an embedding classifier"):
        read_head(tmp_path)
    with pytest.raises(ConfigError, match="at least two `classes`"):
        build(HeadSpec, parse_yaml("{encoder: e, classes: {a: [{path: p}]}}"))
    (tmp_path / "unknown.jsonl").write_text('{"text": "nothing known"}\n' * 3)
    classes = {"a": spec.classes["sport"], "b": (TextSource(path=str(tmp_path / "unknown.jsonl")),)}
    with pytest.raises(DataError, match="no documents are left for training"):
        train_head(HeadSpec(encoder=spec.encoder, classes=classes), tmp_path / "none")
