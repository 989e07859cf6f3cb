"""Models that a recipe trains first: declared, planned, trained, and used by the steps of its pipelines."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.core.stages.engine import SerialEngine
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import Recipe, load_recipe
from dclm.recipe.run import Run, RunOptions
from dclm.select.llm_label.cache import AnswerCache
from dclm.select.llm_label.step import LlmLabel
from dclm.select.model_spec import ModelMap

GOOD = ["clear", "careful", "sentence", "science", "history", "reason"]
BAD = ["buy", "cheap", "click", "pills", "now", "winner"]
RECIPE = """
name: models
data:
  - {name: web, pool: {jsonl: [web.jsonl]}, pipeline: score.yaml}
annotate:
  - {name: sample, pool: {jsonl: [good.jsonl, bad.jsonl]}, pipeline: annotate.yaml}
classifiers:
  distilled:
    positives: [{path: "documents:sample", column: grade, min: 3}]
    negatives: [{path: "documents:sample", column: grade, max: 2}]
    dim: 4
    bucket: 100
    epochs: 10
models:
  ngrams: {ngram: {texts: [{path: good.jsonl}], order: 2}}
  head:
    embedding_classifier:
      encoder: ENCODER
      classes: {hq: [{path: good.jsonl}], cc: [{path: bad.jsonl}]}
  scorer: {language_model: {texts: [good.jsonl], scale: tiny, tokenizer: tokenizer.json, tokens: 8192, epochs: 50}}
tokenizer: tokenizer.json
scale: tiny
tasks: [copa]
"""
ANNOTATE = """
name: annotate
steps:
  - llm_label: {model: grader, prompt: "Grade {text}", cache: CACHE, scores: [0, 5], replay: true, column: grade}
"""
SCORE = """
name: score
steps:
  - fasttext_score: {model: distilled}
  - kenlm_score: {model: ngrams}
  - embed: {model: ENCODER}
  - embedding_classifier: {model: head, column: head}
  - lm_score: {model: scorer, metric: bits_per_byte}
"""


def texts(words: list[str], count: int, seed: int) -> str:
    draw = random.Random(seed)
    rows = [{"text": " ".join(draw.choices([*words, "the", "a"], k=20))} for _ in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its texts, an encoder of static embeddings and a tokenizer of bytes."""
    root = tmp_path_factory.mktemp("recipe")
    words = ["[UNK]", *GOOD, *BAD]
    encoder = root / "encoder"
    encoder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(encoder / "tokenizer.json"))
    table = np.random.default_rng(0).standard_normal((len(words), 8)).astype(np.float32)
    save_file({"embeddings": table}, encoder / "model.safetensors")
    (encoder / "config.json").write_text("{}")
    vocabulary = {c: i for i, c in enumerate(["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    letters = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    letters.add_special_tokens(["<|endoftext|>"])
    letters.save(str(root / "tokenizer.json"))
    (root / "good.jsonl").write_text(texts(GOOD, 60, 1))
    (root / "bad.jsonl").write_text(texts(BAD, 60, 2))
    (root / "web.jsonl").write_text(texts(GOOD, 10, 3) + texts(BAD, 10, 4))
    for name, text in (("r.yaml", RECIPE), ("annotate.yaml", ANNOTATE), ("score.yaml", SCORE)):
        (root / name).write_text(text.replace("ENCODER", str(encoder)).replace("CACHE", str(root / "cache")))
    step = LlmLabel(model="grader", prompt="Grade {text}", cache=str(root / "cache"), scores=(0, 5))
    for name, grade in (("good.jsonl", 4), ("bad.jsonl", 1)):
        for line in (root / name).read_text().splitlines():
            AnswerCache(root / "cache").put(step._request(json.loads(line)["text"]), f"I give {grade}.")
    return root


def test_models_are_planned_with_what_they_take(folder: Path) -> None:
    lines = list(plan_lines(load_recipe(folder / "r.yaml")))
    assert lines[3].startswith("annotate   sample: annotate, 1 steps → OUT/documents/sample")
    text = "\n".join(lines)
    assert "model      ngrams: ngram → OUT/models/ngrams\n  memory   about 200 bytes per token of the texts" in text
    assert "model      scorer: language_model → OUT/models/scorer\n  train    tiny: " in text
    assert "  memory   lm_score: each worker holds the weights of scorer, 4 bytes per parameter" in text
    assert "  work     lm_score: 2 FLOPs per parameter and token" in text
    assert not [line for line in lines if line.startswith("missing")]  # the recipe trains what the steps name


@pytest.mark.slow
def test_a_sample_is_annotated_models_are_trained_and_the_pool_is_scored(folder: Path) -> None:
    said: list[str] = []
    run = Run(
        load_recipe(folder / "r.yaml"), folder / "out", SerialEngine(), RunOptions(until="curate", say=said.append)
    )
    run.execute()
    kinds = [(record.kind, record.name) for record in run.records]
    assert kinds[0] == ("classifier", "distilled")
    assert kinds[1:4] == [("model", "ngrams"), ("classifier", "head"), ("model", "scorer")]
    assert [kind for kind, _ in kinds[4:]] == ["documents"]
    (file,) = (folder / "out" / "documents" / "web" / "documents").glob("*.parquet")
    found = pq.read_table(file).to_pydict()
    is_good = np.array(["pills" not in t and "click" not in t and "buy" not in t for t in found["text"]])
    assert is_good.sum() == 10
    for column, sign in (("quality", 1), ("head", 1), ("kenlm_perplexity", -1), ("lm_score", -1)):
        scores = sign * np.array(found[column])
        assert scores[is_good].mean() > scores[~is_good].mean(), column
        if column != "lm_score":  # 8,192 tokens teach a model of this size little
            assert scores[is_good].min() > scores[~is_good].max(), column
    assert any(line.startswith("model scorer: tiny, training loss") for line in said)
    before = {p: p.stat().st_mtime_ns for p in (folder / "out" / "models").rglob("*") if p.is_file()}
    Run(load_recipe(folder / "r.yaml"), folder / "out", SerialEngine(), RunOptions(until="curate")).execute()
    after = {p: p.stat().st_mtime_ns for p in before}
    assert {p for p in before if p.suffix in (".arpa", ".safetensors")} == {
        p for p in before if p.suffix in (".arpa", ".safetensors") and after[p] == before[p]
    }


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{}", "give one of language_model, ngram"),
        ("{ngram: {texts: [{path: a}]}, host_ranks: {pages: [a]}}", "give one of"),
        ("{ngram: {texts: []}}", "at least one source of `texts`"),
        ("{language_model: {texts: [], scale: tiny}}", "at least one of `texts`"),
        ("{ngram: {texts: [{path: a, column: c}]}}", "`column` needs either"),
        ("{ngram: {texts: [{path: a, column: c, equals: x, min: 1}]}}", "give `equals`, or"),
    ],
)
def test_wrong_models_are_refused(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        build(ModelMap, parse_yaml(text))


def test_names_are_taken_once(folder: Path) -> None:
    text = (folder / "r.yaml").read_text().replace("  distilled:\n", "  head:\n")
    with pytest.raises(ConfigError, match="head is the name of both"):
        build(Recipe, parse_yaml(text))
    (folder / "wrong.yaml").write_text((folder / "r.yaml").read_text().replace("documents:sample", "documents:other"))
    with pytest.raises(ConfigError, match="no such source in `annotate`, allowed: sample"):
        Run(load_recipe(folder / "wrong.yaml"), folder / "wrong", SerialEngine(), RunOptions(until="curate")).execute()
