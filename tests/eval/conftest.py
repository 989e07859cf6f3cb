"""Models and tokenizers that the evaluation's tests share."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from eval_tasks import ROWS, write_task
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from dclm.assets import fetch
from dclm.eval.data.rows import rows_sha256
from dclm.eval.run import unit
from dclm.eval.run.eval_model import EvalModel
from dclm.eval.tokenizer import Tokenizer
from dclm.model.config import ModelConfig
from dclm.model.formats.openlm import from_openlm, infer_config
from dclm.model.init import initialize
from dclm.model.transformer import Transformer
from dclm.model.weights import assemble, write_model


@pytest.fixture(scope="session")
def neox() -> Tokenizer:
    """The tokenizer of DCLM's models."""
    return Tokenizer(fetch("gpt-neox-20b"))


@pytest.fixture(scope="session")
def tiny_open_lm(shared: Path, neox: Tokenizer) -> EvalModel:
    """The random model that the reference scored: two layers, rotary tables that reach to 2,048."""
    folder = shared / "conformance" / "open_lm"
    pieces: dict[str, dict[int, np.ndarray]] = {}
    for path in sorted(folder.glob("v50432_d64_l2_h4_s128.state.part*.npz")):
        with np.load(path) as file:
            for name in file.files:
                parameter, _, rows = name.partition("::rows")
                pieces.setdefault(parameter, {})[int(re.sub(r"\D", "", rows) or 0)] = file[name]
    state = {n: torch.from_numpy(np.concatenate([p[i] for i in sorted(p)])) for n, p in pieces.items()}
    ours = from_openlm(state, str(folder))
    model = assemble(infer_config(ours, str(folder), seq_len=2048), ours, str(folder))
    return EvalModel(model=model.eval(), tokenizer=neox)


@pytest.fixture(scope="session")
def letters_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json of single bytes, with a merge for " a" and an end-of-text token."""
    vocabulary = {c: i for i, c in enumerate(["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    vocabulary["Ġa"] = len(vocabulary)
    backend = Backend(models.BPE(vocab=vocabulary, merges=[("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    backend.save(str(path))
    return path


@pytest.fixture(scope="session")
def letters(letters_file: Path) -> Tokenizer:
    return Tokenizer(letters_file)


@pytest.fixture(scope="session")
def small_model() -> Transformer:
    """A random model over the letters' vocabulary."""
    config = ModelConfig(hidden_dim=32, num_layers=2, num_heads=2, seq_len=512, vocab_size=272)
    return initialize(Transformer(config), seed=3).eval()


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of task files, with data where assets are searched for."""
    folder, data = tmp_path / "tasks", tmp_path / "assets" / "eval" / "tests"
    folder.mkdir()
    data.mkdir(parents=True)
    for label, rows in ROWS.items():
        (data / f"{label}.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
        write_task(folder, label, len(rows), rows_sha256(rows))
    monkeypatch.setenv("DCLM_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("DCLM_SHARED", str(tmp_path / "nowhere"))
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    monkeypatch.setattr("dclm.eval.run.job.ROWS", 3)
    unit._parts.cache_clear()
    return folder


@pytest.fixture
def model(tmp_path: Path, small_model: Transformer, letters_file: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(folder, small_model.state_dict(), small_model.config, letters_file)
    return str(folder)
