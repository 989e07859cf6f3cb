"""A token before each document: training, evaluation and export agree, whatever the tokenizer's file states."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, processors

from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.eval.tokenizer import Tokenizer as EvalTokenizer
from dclm.model.formats.hf import export_huggingface
from dclm.model.transformer import Transformer
from dclm.tokens.beginning import around
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.tokens.tokenizer import Encoder, open_tokenizer
from dclm.train.scale import find_scale

WriteLines = Callable[[str, Sequence[Sequence[str]]], Path]
EOT = 0


def template(single: str, *tokens: tuple[str, int]) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=list(tokens))


@pytest.fixture
def kinds(tokenizer_json: str, tmp_path: Path) -> dict[str, str]:
    """Tokenizers that differ only in their post-processors; `<s>` is 338, `<cls>` 339."""
    made = {}
    processor = {
        "plain": None,
        "bytes": processors.ByteLevel(trim_offsets=False),
        "begins": template("<s> $A", ("<s>", 338)),
        "surrounds": template("<s> $A </s>", ("<s>", 338), ("</s>", 340)),
        "sequence": processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<s> $A", ("<s>", 338))]),
        "two": template("<s> <cls> $A", ("<s>", 338), ("<cls>", 339)),
    }
    for name, post in processor.items():
        tokenizer = Tokenizer.from_file(tokenizer_json)
        tokenizer.add_special_tokens([AddedToken(t) for t in ("<s>", "<cls>", "</s>")])
        if post is not None:
            tokenizer.post_processor = post
        tokenizer.save(str(tmp_path / f"{name}.json"))
        made[name] = str(tmp_path / f"{name}.json")
    return made


def ids_in_rows(out: Path) -> list[int]:
    """All ids, in the order in which they were packed (one row each, so that the shuffle changes nothing)."""
    data = TokenDataset(out)
    return [int(i) for i in data.rows(range(len(data))).ravel()]


@pytest.mark.parametrize("encoder", ["fast", "hf"])
@pytest.mark.parametrize(
    ("kind", "bos", "begins"),
    [
        ("plain", None, False), ("bytes", None, False), ("begins", None, True), ("surrounds", None, True),
        ("sequence", None, True), ("begins", False, False), ("surrounds", False, False), ("two", False, False),
        ("plain", True, True), ("bytes", True, True),
    ],
)  # fmt: skip
def test_a_prompt_begins_as_a_document_did(
    kinds: dict[str, str],
    write_jsonl: WriteLines,
    tmp_path: Path,
    kind: str,
    bos: bool | None,
    begins: bool,
    encoder: Encoder,
) -> None:
    texts = ["ab cd", "", "ef", "gh ij kl"]
    pool, out = write_jsonl("pool", [texts]), tmp_path / "out"
    config = TokenizeConfig(seq_len=63, bos=bos, eot="<|endoftext|>")
    record = tokenize([pool], out, tokenizer=kinds[kind], config=config, encoder=encoder)
    assert record.config["bos_id"] == (338 if begins else None)
    plain = Tokenizer.from_file(kinds[kind])
    start = [338] if begins else []
    expected = [i for t in texts for i in (*start, *plain.encode(t, add_special_tokens=False).ids, EOT)]
    assert ids_in_rows(out)[: len(expected)] == expected
    evaluated = EvalTokenizer(out / "tokenizer.json")
    for text in texts:
        assert [*evaluated.encode(text, special=True), EOT] == [*start, *evaluated.encode(text), EOT]
    assert evaluated.start_id == (338 if begins else EOT)
    kept = (out / "tokenizer.json").read_bytes() == Path(kinds[kind]).read_bytes()
    assert kept == (bos is None and kind != "surrounds")
    assert read_record(out) == record


def test_an_export_begins_a_text_as_training_did(
    kinds: dict[str, str], write_jsonl: WriteLines, tmp_path: Path
) -> None:
    import transformers

    for kind, bos, start in (
        ("begins", None, [338]),
        ("begins", False, []),
        ("plain", True, [338]),
        ("plain", None, []),
    ):
        out, exported = tmp_path / f"{kind}-{bos}", tmp_path / f"{kind}-{bos}-hf"
        config = TokenizeConfig(seq_len=15, bos=bos, eot="<|endoftext|>")
        tokenize([write_jsonl(f"{kind}-{bos}-pool", [["ab cd"]])], out, tokenizer=kinds[kind], config=config)
        model = Transformer(find_scale("5m").model)
        export_huggingface(model, exported, out / "tokenizer.json")
        tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
        plain = tokenizer("ab cd", add_special_tokens=False)["input_ids"]
        assert tokenizer("ab cd")["input_ids"] == [*start, *plain]
        written = json.loads((exported / "config.json").read_text())
        assert written["bos_token_id"] == (start[0] if start else EOT)


def test_what_cannot_begin_a_document_is_refused(kinds: dict[str, str], tokenizer_json: str) -> None:
    with pytest.raises(ConfigError, match="puts 2 tokens before a text"):
        open_tokenizer(kinds["two"], "<|endoftext|>")
    with pytest.raises(ConfigError, match="found no token that begins a text"):
        open_tokenizer(tokenizer_json, bos=True)


def test_what_stands_around_a_text_is_found(kinds: dict[str, str]) -> None:
    assert around(Tokenizer.from_file(kinds["surrounds"])) == ((338,), (340,))
    assert around(Tokenizer.from_file(kinds["bytes"])) == ((), ())


def test_bos_is_part_of_what_a_document_costs(kinds: dict[str, str], write_jsonl: WriteLines, tmp_path: Path) -> None:
    """Text tokens count only the text; the rows contain one more per document."""
    pool = write_jsonl("pool", [[f"text {i}" for i in range(100)]])
    for bos in (False, True):
        config = TokenizeConfig(seq_len=7, bos=bos, eot="<|endoftext|>")
        record = tokenize([pool], tmp_path / str(bos), tokenizer=kinds["plain"], config=config)
        rows = TokenDataset(tmp_path / str(bos))
        ids = rows.rows(range(len(rows)))
        counts = record.counts
        assert int(np.count_nonzero(ids == 338)) == (100 if bos else 0)
        assert counts["bos_ids"] == (100 if bos else 0)
        parts = [counts[f"{part}_ids"] for part in ("bos", "text", "eot", "padding")]
        assert sum(parts) == counts["ids"]  # type: ignore[arg-type]
