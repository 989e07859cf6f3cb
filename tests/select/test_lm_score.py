"""Scores by language models: transformers' own numbers, windows, batches, and refusals."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from engine_runs import run_twice, write_pool
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from dclm.assets import resolve
from dclm.core.errors import ConfigError
from dclm.curate.step import Context
from dclm.model.config import ModelConfig
from dclm.model.formats.openlm import write_openlm
from dclm.model.init import initialize
from dclm.model.transformer import Transformer
from dclm.model.weights import write_model
from dclm.select.language_model.score import LanguageModelScore, Metric, rounded
from dclm.select.language_model.scorer import batches

METRICS: tuple[Metric, ...] = ("perplexity", "bits_per_byte", "topk_mass", "topk_hit")
DRAW = random.Random(5)
WORDS = ["mill", "river", "grain", "stone", "wheel", "größe", "水車", "turns", "\n", "of the"]
TEXTS = ["", "a", "ab", *(" ".join(DRAW.choices(WORDS, k=n)) for n in (1, 3, 5, 9, 17, 17, 30, 40))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Single bytes and an end-of-text token."""
    vocabulary = {c: i for i, c in enumerate(["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    backend.save(str(path))
    return path


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """A random model of transformers with its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=260, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """A training run with one random checkpoint."""
    model = Transformer(ModelConfig(hidden_dim=32, num_layers=2, num_heads=4, seq_len=64, vocab_size=260))
    initialize(model, 0)
    folder = tmp_path_factory.mktemp("run")
    (folder / "checkpoints" / "step-3").mkdir(parents=True)
    write_model(folder / "checkpoints" / "step-3", model.state_dict(), model.config, tokenizer)
    write_openlm(model, folder / "open_lm.pt")
    return folder


def score(step: LanguageModelScore, texts: list[str]) -> pa.Array:
    files = {asset: str(resolve(asset, directories=True).path) for asset in step.assets}
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(Context(files=files))(batch).column(step.column)


def plain(model: object, ids: list[int], num_bytes: int, window: int, k: int) -> dict[str, float]:
    """A plain loop: one window at a time through the model's own logits."""
    losses, masses, hits = [], [], []
    for begin in range(0, len(ids), window):
        part = torch.tensor([ids[begin : begin + window]])
        if part.shape[1] < 2:
            continue
        with torch.inference_mode():
            logits = model(part).logits[0, :-1].double()  # type: ignore[operator]
        probabilities = logits.softmax(-1)
        for row, token in zip(probabilities, part[0, 1:], strict=True):
            best = row.topk(k)
            losses.append(-math.log(row[token]))
            masses.append(float(best.values.sum()))
            hits.append(bool((best.indices == token).any()))
    total = sum(losses)
    return {
        "perplexity": math.exp(total / len(losses)),
        "bits_per_byte": total / math.log(2) / num_bytes,
        "topk_mass": sum(masses) / len(masses),
        "topk_hit": sum(hits) / len(hits),
    }


@pytest.mark.parametrize("window", [7, 64])
def test_scores_are_those_of_a_plain_transformers_loop(llama: Path, tokenizer: Path, window: int) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(llama).eval()
    encode = Tokenizer.from_file(str(tokenizer)).encode
    expected = [plain(model, encode(t).ids, len(t.encode()), window, 5) for t in TEXTS[2:]]
    for metric in METRICS:
        found = score(LanguageModelScore(model=f"hf:{llama}", metric=metric, window=window, k=5), TEXTS).to_pylist()
        assert found[:2] == [None, None]
        np.testing.assert_allclose(found[2:], [row[metric] for row in expected], rtol=1e-5)


@pytest.mark.parametrize("metric", ["perplexity", "topk_mass"])
def test_a_score_does_not_depend_on_the_other_documents(llama: Path, metric: Metric) -> None:
    step = LanguageModelScore(model=f"hf:{llama}", metric=metric, window=16)
    together = score(step, TEXTS * 3).to_pylist()
    alone = [score(step, [text]).to_pylist()[0] for text in TEXTS]
    assert together[: len(TEXTS)] == together[-len(TEXTS) :]
    np.testing.assert_allclose(together[2 : len(TEXTS)], alone[2:], rtol=1e-5)


def test_our_checkpoints_and_open_lms_files_score_alike(ours: Path, tokenizer: Path) -> None:
    run = score(LanguageModelScore(model=str(ours)), TEXTS)
    assert run.null_count == 2
    assert score(LanguageModelScore(model=str(ours / "checkpoints" / "step-3")), TEXTS).equals(run)
    file = LanguageModelScore(model=str(ours / "open_lm.pt"), tokenizer=str(tokenizer), window=64)
    np.testing.assert_allclose(score(file, TEXTS).to_pylist()[2:], run.to_pylist()[2:], rtol=1e-5)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(ours: Path, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [[{"text": t} for t in TEXTS[i::4]] for i in range(4)])
    step = LanguageModelScore(model=str(ours), metric="topk_mass", window=32)
    _, table = run_twice([step], pool, tmp_path)
    assert table.num_rows == len(TEXTS)
    assert table.column("lm_score").null_count == 2


def test_what_does_not_fit_is_refused(ours: Path, llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="window 65, allowed: at most the 64 tokens"):
        score(LanguageModelScore(model=str(ours), window=65), TEXTS)
    with pytest.raises(ConfigError, match=r"no tokenizer\.json next to the model"):
        score(LanguageModelScore(model=str(ours / "open_lm.pt")), TEXTS)
    large = Tokenizer(models.WordLevel({f"w{i}": i for i in range(300)}, unk_token="w0"))
    large.save(str(tmp_path / "large.json"))
    with pytest.raises(ConfigError, match="the tokenizer has 300 tokens, but the model 260"):
        score(LanguageModelScore(model=f"hf:{llama}", tokenizer=str(tmp_path / "large.json")), TEXTS)


def test_batches_hold_every_window_once_and_little_padding() -> None:
    lengths = [DRAW.randint(2, 64) for _ in range(500)]
    for device, padding in (("cpu", 0.05), ("cuda", 0.25)):
        found = list(batches(lengths, 256, device))  # type: ignore[arg-type]
        assert sorted(i for batch in found for i in batch) == list(range(500))
        for batch in found:
            longest = max(lengths[i] for i in batch)
            assert longest * len(batch) <= 256
            assert min(lengths[i] for i in batch) >= longest * (1 - padding) - 1
    some = lengths[:40]
    assert len(list(batches(some, 4096, "cuda"))) < len(list(batches(some, 4096))) / 2  # fuller


def test_scores_have_six_significant_digits() -> None:
    assert rounded(np.array([1234567.8, 0.00012345678, math.inf, -2.0])).tolist() == [
        1234570,
        0.000123457,
        math.inf,
        -2,
    ]


@pytest.mark.network
@pytest.mark.shared
@pytest.mark.slow
def test_smollm2_gives_transformers_scores(shared: Path) -> None:
    with gzip.open(shared / "conformance" / "lm_score.jsonl.gz") as file:
        rows = sorted(map(json.loads, file), key=lambda row: row["tokens"])[::17]
    sources = {}
    for name in {row["source"] for row in rows}:
        with gzip.open(shared / "text" / f"{name}.jsonl.gz") as file:
            sources[name] = [json.loads(line)["text"] for line in file]
    texts = [sources[row["source"]][row["row"]][: row["cut_chars"]] for row in rows]
    for metric in METRICS:
        found = score(LanguageModelScore(model="gguf:smollm2-135m", metric=metric, window=512), texts).to_pylist()
        for row, value in zip(rows, found, strict=True):
            tolerance = 1.01 / row["scored"] if metric == "topk_hit" else 1e-4 * row[metric]
            assert abs(value - row[metric]) <= tolerance, (metric, row)
