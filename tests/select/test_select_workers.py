"""Scoring steps in one pipeline: the same bytes in one process and in four workers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from engine_runs import run_twice, write_pool
from language_models import WORDS, write_model
from safetensors.numpy import save_file

from dclm.select.classifier.spec import TextSource
from dclm.select.hosts.step import HostRank
from dclm.select.ngram.kneser_ney import estimate, write_arpa
from dclm.select.ngram.score import KenlmScore
from dclm.select.quantile import Quantile
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.head import EmbeddingClassifier, HeadSpec, train_head

DRAW = random.Random(11)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    texts = [" ".join(DRAW.choices(WORDS[8:], k=DRAW.randint(2, 30))) for _ in range(40)]
    model = write_model(tmp_path / "model", chat=True)
    write_arpa(estimate([text.split() for text in texts], 3), tmp_path / "model.arpa")
    (tmp_path / "ranks.txt").write_text("#pr_val\t#host_rev\n0.5\torg.site1\n0.25\torg.site3\n")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    (encoder / "config.json").write_text("{}")
    table = np.random.default_rng(0).standard_normal((len(WORDS) + 3, 8)).astype(np.float32)
    save_file({"embeddings": table}, encoder / "model.safetensors")
    classes = {}
    for name, some in (("hq", texts[:20]), ("cc", texts[20:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
        classes[name] = (TextSource(path=str(tmp_path / f"{name}.jsonl")),)
    train_head(HeadSpec(encoder=str(encoder), classes=classes), tmp_path / "head")
    pool = write_pool(tmp_path / "pool", [[{"text": text} for text in texts[i::4]] for i in range(4)])
    steps = [
        KenlmScore(model=str(tmp_path / "model.arpa"), normalize=False),
        HostRank(ranks=str(tmp_path / "ranks.txt")),
        Embed(model=str(encoder)),
        EmbeddingClassifier(model=str(tmp_path / "head" / "head.json"), label_column="topic"),
        Quantile(column="kenlm_perplexity", keep_between=(0.0, 0.5)),
    ]
    _, found = run_twice(steps, pool, tmp_path)
    assert found.num_rows == 20
    for column in ("kenlm_perplexity", "quality", "topic"):
        assert found.column(column).null_count == 0
    assert set(found.column("host_rank").to_pylist()) == {0.5, 0.25, None}
