"""Scores of models against independent computations on real documents: the largest deviation of each.

    python -m tests.bench.bench_select_check [--documents 200] [--texts 170]

`--texts`: how many of the 170 texts of conformance/lm_score.jsonl.gz to score, which have transformers' own values.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dclm.select.hosts.graph import host_graph, pagerank
from dclm.select.language_model.score import LanguageModelScore
from dclm.select.language_model.scorer import LanguageModelScorer
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.kmeans import spherical_kmeans
from dclm.select.semantic.vectors import unit_vectors
from tests.bench.select_data import (
    MINILM,
    SHARED,
    SMOLLM2,
    batch,
    causal_model,
    context,
    encoder_directory,
    mixed,
    opened,
    read,
)

METRICS = ("perplexity", "bits_per_byte", "topk_mass")
CHARACTERS = 500


def row(what: str, count: int, deviation: str) -> None:
    """Print a row of the table."""
    print(f"| {what} | {count:,} | {deviation} |", flush=True)


def scores_of(scorer: LanguageModelScorer, text: str) -> dict[str, float]:
    """All metrics of one text."""
    sums = scorer.sums([text], 10)
    scored, loss = int(sums.scored[0]), float(sums.loss[0])
    return {
        "scored": scored,
        "perplexity": math.exp(loss / scored),
        "bits_per_byte": loss / math.log(2) / len(text.encode()),
        "topk_mass": float(sums.mass[0]) / scored,
        "topk_hit": float(sums.hits[0]) / scored,
    }


def largest(ours: list[dict[str, float]], theirs: list[dict[str, Any]]) -> str:
    """The largest relative deviation of each metric, and the tokens whose hit differs."""
    found = {m: max(abs(a[m] / b[m] - 1) for a, b in zip(ours, theirs, strict=True)) for m in METRICS}
    tokens = sum(round(abs(a["topk_hit"] - b["topk_hit"]) * a["scored"]) for a, b in zip(ours, theirs, strict=True))
    assert all(a["scored"] == b["scored"] for a, b in zip(ours, theirs, strict=True))
    total = sum(a["scored"] for a in ours)
    return ", ".join(f"{m} {v:.1e}" for m, v in found.items()) + f"; hits: {tokens} of {total:,.0f} tokens differ"


def published(scorer: LanguageModelScorer, count: int) -> None:
    """The texts whose values transformers computed beforehand."""
    with gzip.open(SHARED / "conformance" / "lm_score.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [rows[i * len(rows) // count] for i in range(count)]
    sources = {name: read(name) for name in {row["source"] for row in rows}}
    texts = [sources[r["source"]][r["row"]][: r["cut_chars"]] for r in rows]
    row("`lm_score`, SmolLM2: transformers' stored values", count, largest([scores_of(scorer, t) for t in texts], rows))


def losses(scorer: LanguageModelScorer, count: int) -> None:
    """transformers' own losses, one document at a time."""
    model, tokenizer = causal_model(SMOLLM2)
    texts = [text[:CHARACTERS] for text in mixed(count)]
    theirs = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False).ids])
        with torch.inference_mode():
            out = model(input_ids=ids, labels=ids)
        likely = out.logits[0, :-1].double().softmax(-1).topk(10)
        scored, loss = ids.shape[1] - 1, float(out.loss) * (ids.shape[1] - 1)
        theirs.append(
            {
                "scored": scored,
                "perplexity": math.exp(loss / scored),
                "bits_per_byte": loss / math.log(2) / len(text.encode()),
                "topk_mass": float(likely.values.sum(1).mean()),
                "topk_hit": float((likely.indices == ids[0, 1:, None]).any(1).double().mean()),
            }
        )
    ours = [scores_of(scorer, text) for text in texts]
    row(f"`lm_score`, SmolLM2: transformers' `loss`, {CHARACTERS} characters", count, largest(ours, theirs))


def pooling(count: int) -> None:
    """MiniLM: the mean of the last hidden states, one document at a time, without padding."""
    from tokenizers import Tokenizer
    from transformers import AutoModel

    texts = mixed(count)
    directory = encoder_directory()
    model: Any = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    expected = []
    for text in texts:
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        mean = hidden[0].mean(0).double().numpy()
        expected.append(mean / np.linalg.norm(mean))
    found, _ = unit_vectors(opened(Embed(model=MINILM))(batch(texts)).column("embedding"), "check")
    cosine = (found.astype(np.float64) * np.array(expected)).sum(1)
    row("`embed`, MiniLM: mean pooling by transformers", count, f"1 − cosine at most {1 - cosine.min():.1e}")


def objective() -> None:
    """k-means: scikit-learn's from the same centroids."""
    from sklearn.cluster import KMeans

    column = opened(Embed(model="tokenlearn-static"))(batch(read("newsgroups20", 4000))).column("embedding")
    vectors, present = unit_vectors(column, "check")
    vectors = vectors[present]
    ours = spherical_kmeans([vectors], vectors[:50], 30).objective[-1]
    theirs = KMeans(50, init=vectors[:50], n_init=1, max_iter=30, tol=0, algorithm="lloyd").fit(vectors)
    centers = theirs.cluster_centers_ / np.linalg.norm(theirs.cluster_centers_, axis=1, keepdims=True)
    other = float((vectors * centers[theirs.labels_]).sum(1).mean())
    what = f"mean similarity {ours:.5f}, scikit-learn's {other:.5f} ({ours / other - 1:+.1e})"
    row("k-means of `semdedup`, 50 clusters: scikit-learn", len(vectors), what)


def ranks() -> None:
    """PageRank of the crawl's hosts: the solution of the linear system."""
    from scipy.sparse import csr_matrix, identity
    from scipy.sparse.linalg import spsolve

    pages = tuple(str(path) for path in sorted(Path(SHARED, "web").glob("crawl-*.warc.gz")))
    names, sources, targets = host_graph(pages, [])
    count, damping = len(names), 0.85
    degree = np.bincount(sources, minlength=count)
    links = csr_matrix((damping / degree[sources], (targets, sources)), shape=(count, count))
    # what nodes without links hand out goes to all alike: it scales the solution
    exact = spsolve((identity(count) - links).tocsc(), np.full(count, 1 / count))
    exact /= exact.sum()
    found, rounds = pagerank(count, sources, targets, damping, 1e-10)
    worst = float(np.abs(found / exact - 1).max())
    what = f"at most {worst:.1e} relative, {rounds} rounds, {len(sources):,} links"
    row("PageRank of the crawl's hosts: scipy's solution of the equations", count, what)


def main(documents: int, texts: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| what | documents | largest deviation |\n|---|---|---|")
    ranks()
    objective()
    pooling(documents)
    step = LanguageModelScore(model=SMOLLM2, window=512)
    scorer = step.scorer(context(step))
    losses(scorer, documents)
    published(scorer, texts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--texts", type=int, default=170)
    arguments = parser.parse_args()
    main(arguments.documents, arguments.texts)
