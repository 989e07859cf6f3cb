"""Small tokens artifacts and a scale that trains in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dclm.core.counts import TokensCounts
from dclm.core.record import Record, describe_files, fingerprint, write_record
from dclm.model.config import ModelConfig
from dclm.train.scale import Scale

VOCABULARY = 97
SEQ_LEN = 16

MakeTokens = Callable[..., Path]


@pytest.fixture
def small_scale() -> Scale:
    """20 updates of 8 sequences of 16 tokens."""
    model = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=SEQ_LEN, vocab_size=VOCABULARY)
    return Scale(
        name="small", model=model, tokens=20 * 8 * SEQ_LEN, batch_sequences=8, warmup_steps=4, learning_rate=1e-2,
        final_learning_rate=1e-3, micro_batch_sequences=4,
    )  # fmt: skip


@pytest.fixture
def make_tokens(tmp_path: Path) -> MakeTokens:
    """Writes a tokens artifact whose next token is mostly a function of the one before."""

    def make(name: str = "tokens", num_sequences: int = 160, seed: int = 0, seq_len: int = SEQ_LEN) -> Path:
        out = tmp_path / name
        (out / "tokens").mkdir(parents=True)
        generator = np.random.Generator(np.random.Philox(seed))
        rows = np.empty((num_sequences, seq_len + 1), dtype="<u2")
        rows[:, 0] = generator.integers(0, VOCABULARY, num_sequences)
        for column in range(1, seq_len + 1):
            noise = generator.random(num_sequences) < 0.1
            random = generator.integers(0, VOCABULARY, num_sequences)
            rows[:, column] = np.where(noise, random, (rows[:, column - 1].astype(np.int64) * 5 + 1) % VOCABULARY)
        rows.tofile(out / "tokens" / "00000.bin")
        config = {"seq_len": seq_len, "vocab_size": VOCABULARY, "dtype": "uint16"}
        text = num_sequences * seq_len
        known = {"text_ids": text - 100, "eot_ids": 100, "text_bytes": 4 * text}
        counts = TokensCounts(sequences=num_sequences, tokens=text, ids=text + num_sequences, **known)
        record = Record(
            kind="tokens", name=name, fingerprint=fingerprint({**config, "seed": seed, "rows": num_sequences}),
            config=config, counts=counts.plain(), files=describe_files(out, {"tokens/00000.bin": num_sequences}),
        )  # fmt: skip
        write_record(out, record)
        return out

    return make
