"""Steps that select with models, compared with what a user would run instead: documents per CPU second and core.

    python -m tests.bench.bench_select [--documents 6] [--only lm_score]

Rows of SmolLM2 take many minutes and are printed only if named. Everything runs in one thread. The transformers loop
scores the same windows in batches of eight (four of those with 2,048 tokens), in the order of the documents, padded to
the longest of each batch, in float32, as the `perplexity` metric of Hugging Face's `evaluate` does. It is compared on
SmolLM2 and, with ten times as many documents, on a small Llama with random weights, most of whose work is the head.
sentence-transformers is compared where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dclm.dedup.serial import decide
from dclm.select.language_model.ask import PROMPT, AskLanguageModel
from dclm.select.language_model.machine_text import MachineText
from dclm.select.language_model.score import LanguageModelScore
from dclm.select.ngram.kneser_ney import estimate, write_arpa
from dclm.select.ngram.normalize import ccnet_normalize
from dclm.select.ngram.score import KenlmScore, load_kenlm
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.kmeans import spherical_kmeans
from dclm.select.semantic.semdedup import SemDedup
from dclm.select.semantic.vectors import unit_vectors
from tests.bench.rows import report
from tests.bench.select_data import (
    MINILM,
    SMOLLM2,
    batch,
    causal_model,
    cpu_seconds,
    encoder_directory,
    mixed,
    opened,
    read,
)

WINDOW = 512
MINUTES = ("lm_score", "others")
BATCH = {512: 8, 2048: 4}  # windows of the loop's batches: the logits of four long ones take 1.6 GB


def row(what: str, count: int, ours: float, theirs: float | None = None, who: str = "") -> None:
    """Report documents per CPU second."""
    other = () if theirs is None else count / theirs
    report(what, "documents/s", count / ours, beside=who or None, theirs=other)


def best(function: Callable[[], object]) -> float:
    """CPU seconds of the second of two runs."""
    cpu_seconds(function)
    return cpu_seconds(function)


def plain_loop(model: Any, ids: list[list[int]], size: int = 8) -> list[float]:
    """The loss of each window, as a user of transformers computes it."""
    found: list[float] = []
    for first in range(0, len(ids), size):
        some = ids[first : first + size]
        longest = max(map(len, some))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in some])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in some])
        with torch.inference_mode():
            logits = model(input_ids=padded, attention_mask=mask).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none")
        found += (losses * mask[:, 1:]).sum(1).tolist()
    return found


def losses(name: str, count: int, window: int, what: str) -> None:
    """lm_score compared with the loop over the same windows."""
    texts = mixed(count)
    model, tokenizer = causal_model(name)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    windows = [some[at : at + window] for some in ids for at in range(0, len(some), window)]
    theirs = cpu_seconds(lambda: plain_loop(model, [w for w in windows if len(w) > 1], BATCH[window]))
    function = opened(LanguageModelScore(model=name, window=window))
    ours = cpu_seconds(lambda: function(batch(texts)))
    row(f"`lm_score` perplexity, {what}, windows of {window:,}", count, ours, theirs, "transformers loop")


def small_llama(directory: Path) -> str:
    """A Llama of four narrow layers with random weights and SmolLM2's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    _, tokenizer = causal_model(SMOLLM2)
    tokenizer.save(str(directory / "tokenizer.json"))
    return f"hf:{directory}"


def small_perplexities(count: int) -> None:
    """lm_score of a small model, with two windows."""
    with tempfile.TemporaryDirectory() as directory:
        small = small_llama(Path(directory))
        for window in BATCH:
            losses(small, count, window, "a Llama of 4 × 128")


def perplexities(count: int) -> None:
    """lm_score of SmolLM2, with two windows."""
    for window in BATCH:
        losses(SMOLLM2, count, window, "SmolLM2-135M")


def language_models(count: int) -> None:
    """The other metrics, machine_text and ask_llm."""
    texts = mixed(count)
    model, tokenizer = causal_model(SMOLLM2)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    given = batch(texts)
    for name, step in (
        ("`lm_score` topk_mass", LanguageModelScore(model=SMOLLM2, window=WINDOW, metric="topk_mass")),
        ("`machine_text` curvature", MachineText(model=SMOLLM2, window=WINDOW)),
    ):
        function = opened(step)
        row(f"{name}, SmolLM2-135M, windows of {WINDOW}", count, cpu_seconds(lambda f=function: f(given)))
    asked = AskLanguageModel(model=SMOLLM2, max_tokens=128, chat=False)
    prompts = [PROMPT.replace("{text}", tokenizer.decode(some[:128])) for some in ids]
    encoded = [tokenizer.encode(prompt).ids for prompt in prompts]
    loop = cpu_seconds(lambda: plain_loop(model, encoded))
    function = opened(asked)
    row("`ask_llm`, SmolLM2-135M, 128 tokens", count, cpu_seconds(lambda: function(given)), loop, "transformers loop")


def embeddings(count: int) -> None:
    """embed by MiniLM and by static embeddings."""
    texts = mixed(count)
    given = batch(texts)
    function = opened(Embed(model=MINILM))
    theirs = None
    if importlib.util.find_spec("sentence_transformers") is not None:
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(str(encoder_directory()), device="cpu")
        encoder.max_seq_length = 256
        theirs = best(lambda: encoder.encode(texts, show_progress_bar=False))
    row("`embed`, MiniLM, 256 tokens", count, best(lambda: function(given)), theirs, "sentence-transformers")
    many = read("newsgroups20", 4000)
    static = opened(Embed(model="tokenlearn-static"))
    row("`embed`, static embeddings", len(many), best(lambda: static(batch(many))))


def n_grams() -> None:
    """kenlm_score compared with KenLM's reader."""
    texts = read("newsgroups20", 4000)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.arpa"
        write_arpa(estimate([ccnet_normalize(text).split() for text in texts[:1000]], 5), path)
        model = load_kenlm(path)
        function = opened(KenlmScore(model=str(path)))
        given = batch(texts)
        theirs = best(lambda: [model.score(" ".join(text.split())) for text in texts])
        row("`kenlm_score`, normalized, 5-grams of words", len(texts), best(lambda: function(given)), theirs,
            "KenLM's reader alone, without normalization")  # fmt: skip


def clusters() -> None:
    """semdedup compared with scikit-learn's k-means."""
    from sklearn.cluster import KMeans

    texts = read("newsgroups20", 8000)
    given = opened(Embed(model="tokenlearn-static"))(batch(texts))
    given = given.append_column("_row", pa.array(np.arange(len(texts))))
    vectors, present = unit_vectors(given.column("embedding"), "bench")
    kept = vectors[present]
    theirs = best(lambda: KMeans(100, init=kept[:100], n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(kept))
    ours = best(lambda: spherical_kmeans([kept], kept[:100], 20))
    row("spherical k-means, 64 dimensions, 100 clusters, 20 rounds", len(kept), ours, theirs, "scikit-learn")
    step = SemDedup(clusters=100, keep_fraction=0.75)
    row("`semdedup`, the same clusters", len(kept), best(lambda: decide(step, [[given]])))


def main(count: int, only: str | None) -> None:
    """Print the rows."""
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], None]] = {
        "kenlm": n_grams,
        "kmeans": clusters,
        "embed": lambda: embeddings(10 * count),
        "small": lambda: small_perplexities(10 * count),
        "lm_score": lambda: perplexities(count),
        "others": lambda: language_models(count),
    }
    for name in (only,) if only else [name for name in parts if name not in MINUTES]:
        parts[name]()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=6)
    parser.add_argument("--only", choices=("kenlm", "kmeans", "embed", "small", *MINUTES))
    arguments = parser.parse_args()
    main(arguments.documents, arguments.only)
