"""Ids are Hugging Face's, whichever encoder makes them."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from dclm.assets import fetch
from dclm.core.errors import ConfigError, DataError
from dclm.tokens import tokenizer as module
from dclm.tokens.framing import framed
from dclm.tokens.tokenizer import (
    BATTERY,
    Checked,
    Encoded,
    checked,
    choose_encoder,
    decode,
    encode,
    open_tokenizer,
    verify,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TRICKY = st.text(
    st.sampled_from("  \t\n\r'stSTLlmre\u0301\u0323éﬁÅ½٣日\u1100\u1161\u200d👩\u00a0\u3000\x85<|endoftext|>")
)


def same(path: str, texts: list[str]) -> bool:
    fast, slow = encode(path, "fast", texts), encode(path, "hf", texts)
    return np.array_equal(fast.ids, slow.ids) and np.array_equal(fast.offsets, slow.offsets)


@given(st.lists(TEXT | TRICKY, max_size=8))
@example(list(BATTERY))
@settings(max_examples=300, deadline=None)
def test_the_fast_encoder_gives_hugging_faces_ids_on_any_unicode(tokenizer_json: str, texts: list[str]) -> None:
    assert same(tokenizer_json, texts)


@given(TEXT)
@settings(max_examples=100, deadline=None)
def test_decoding_gives_back_the_text_in_nfc(tokenizer_json: str, text: str) -> None:
    assert decode(tokenizer_json, encode(tokenizer_json, "fast", [text]).ids.tolist()) == unicodedata.normalize(
        "NFC", text
    )


def test_the_tokenizer_file_is_described(tokenizer_json: str) -> None:
    file = open_tokenizer(tokenizer_json)
    assert (file.vocab_size, file.base_vocab_size, file.eot_id) == (338, 336, 0)


def test_the_end_token_and_the_highest_id_are_those_of_the_whole_vocabulary(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 700, "river": 2}, unk_token="<unk>"))
    words.add_special_tokens(["<eos>"])
    words.save(str(tmp_path / "words.json"))
    vocabulary = words.get_vocab(with_added_tokens=True)
    file = open_tokenizer(str(tmp_path / "words.json"))
    assert (file.eot, file.eot_id) == ("</s>", 700)  # the first of those that end texts, which is not an added token
    assert file.vocab_size == max(vocabulary.values()) + 1
    assert file.vocab_size > len(vocabulary)
    assert open_tokenizer(str(tmp_path / "words.json"), eot="<eos>").eot_id == vocabulary["<eos>"]


def test_a_missing_end_token_is_named_with_the_nearest(tokenizer_json: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)found no token <\|endoftxt\|>.*did you mean `<\|endoftext\|>`"):
        open_tokenizer(tokenizer_json, eot="<|endoftxt|>")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match=r"not a tokenizer\.json"):
        open_tokenizer(str(tmp_path / "tokenizer.json"))


def test_an_encoder_that_disagrees_on_the_battery_is_not_used(
    tokenizer_json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        def encode_batch_flat(self, texts: list[str]) -> tuple[bytes, bytes]:
            return b"\0" * 4 * len(texts), np.arange(len(texts) + 1, dtype=np.uint64).tobytes()

    assert choose_encoder(tokenizer_json) == "fast"
    monkeypatch.setattr(module, "_fast", lambda path: Wrong())
    assert choose_encoder(tokenizer_json) == "hf"


def test_a_tokenizer_that_the_fast_encoder_does_not_know_is_left_to_hugging_face(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "river": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    file = open_tokenizer(str(tmp_path / "words.json"))
    assert (choose_encoder(file.path), file.eot_id) == ("hf", 1)
    assert encode(file.path, "hf", ["river bank", ""]).ids.tolist() == [2, 0]


def test_a_difference_found_on_the_way_ends_the_work(tokenizer_json: str) -> None:
    texts = ["a river", "stone"]
    encoded = encode(tokenizer_json, "hf", texts)
    documents = [Checked(text, encoded.ids[slice(*encoded.offsets[i : i + 2])]) for i, text in enumerate(texts)]
    verify(tokenizer_json, documents)
    verify(tokenizer_json, [])
    with pytest.raises(DataError, match=r"(?s)starts 'stone'.*--encoder hf"):
        verify(tokenizer_json, [documents[0], Checked("stone", documents[1].ids + np.uint32(1))])
    with pytest.raises(DataError, match=r"(?s)starts 'a river'"):
        verify(tokenizer_json, [Checked("a river", documents[0].ids[:-1]), documents[1]])


def test_one_document_in_1024_is_compared_unless_it_is_long(tokenizer_json: str) -> None:
    texts = [str(n) for n in range(5000)]
    texts[2048] = "x" * 20_001
    found = []
    for start in range(0, 5000, 700):  # as they come, in portions
        encoded = encode(tokenizer_json, "hf", texts[start : start + 700])
        found += checked(encoded, texts[start : start + 700], start)
    assert [document.text for document in found] == ["0", "1024", "3072", "4096"]
    verify(tokenizer_json, found)


@given(
    st.lists(st.lists(st.integers(0, 65_000), max_size=5), max_size=6),
    st.none() | st.integers(0, 65_000),
    st.sampled_from(["uint16", "uint32"]),
)
def test_each_document_stands_between_its_tokens(documents: list[list[int]], bos: int | None, dtype: str) -> None:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    encoded = Encoded(np.array([number for ids in documents for number in ids], np.uint32), offsets)
    found = framed(encoded, bos, 7, dtype)
    start = [] if bos is None else [bos]
    assert found.tolist() == [number for ids in documents for number in [*start, *ids, 7]]
    assert found.dtype == dtype


def shared_texts(shared: Path) -> list[str]:
    texts = []
    for path in sorted((shared / "text").rglob("*")):
        if path.name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                texts += [json.loads(line).get("text") or line for line in lines]
        elif path.is_file():
            texts += path.read_text(encoding="utf-8").splitlines(keepends=True)
    return texts


@pytest.mark.shared
def test_gpt_neox_ids_are_equal_on_a_sample_of_real_texts(shared: Path) -> None:
    texts = [text for text in shared_texts(shared)[::199] if len(text) < 100_000]
    assert len(texts) > 300
    assert same(str(fetch("gpt-neox-20b")), texts)


@pytest.mark.shared
@given(st.lists(TEXT | TRICKY, max_size=8))
@settings(max_examples=200, deadline=None)
def test_gpt_neox_ids_are_equal_on_any_unicode(shared: Path, texts: list[str]) -> None:
    assert same(str(fetch("gpt-neox-20b")), texts)


@pytest.mark.shared
def test_gpt_neox_is_the_tokenizer_of_the_reference(shared: Path) -> None:
    file = open_tokenizer("gpt-neox-20b")
    assert (file.vocab_size, file.base_vocab_size, file.eot_id) == (50277, 50254, 0)
    assert encode(file.path, "hf", ["hello  world <|endoftext|>"]).ids.tolist() == [25521, 50276, 10186, 209, 0]
    with gzip.open(shared / "conformance/eval/prompts/arc_easy.jsonl.gz", "rt", encoding="utf-8") as lines:
        line = json.loads(lines.readline())
    context = line["ctx_text"] if isinstance(line["ctx_text"], str) else line["ctx_text"][0]
    length = line["ctx_len"] if isinstance(line["ctx_len"], int) else line["ctx_len"][0]
    assert len(encode(file.path, "fast", [context]).ids) == length
