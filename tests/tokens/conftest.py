"""A small byte-level tokenizer of GPT-NeoX's kind, made here, and documents to feed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokens_texts import make_text


@pytest.fixture(scope="session")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tokenizer.json with 338 ids, NFC, spaces as added tokens; `<|endoftext|>` is 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=336, special_tokens=["<|endoftext|>", "<|padding|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator([make_text(i, 200) for i in range(50)], trainer)
    tokenizer.add_tokens([AddedToken("    ", normalized=True), AddedToken("  ", normalized=True)])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[[str, Sequence[Sequence[str]]], Path]:
    """Writes a folder of JSONL shards, one list of texts each."""

    def write(name: str, shards: Sequence[Sequence[str]]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index, texts in enumerate(shards):
            lines = [json.dumps({"text": text}) + "\n" for text in texts]
            (folder / f"{index:03d}.jsonl").write_text("".join(lines), encoding="utf-8")
        return folder

    return write
