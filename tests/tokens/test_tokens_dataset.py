"""The reader returns the rows that were written, and reports the damage of an artifact."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokens_texts import make_shards

from dclm.core.errors import ConfigError, DataError, IncompleteError
from dclm.core.record import read_record, write_record
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.stage import TokenizeConfig, tokenize


@pytest.fixture
def tokens(tokenizer_json: str, write_jsonl: Callable[[str, Sequence[Sequence[str]]], Path], tmp_path: Path) -> Path:
    config = TokenizeConfig(seq_len=15, rows_per_shard=10)
    tokenize([write_jsonl("documents", make_shards(20, 2))], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    return tmp_path / "out"


def plain(tokens: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    files = sorted((tokens / "tokens").iterdir())
    return np.concatenate([np.fromfile(f, "<u2").reshape(-1, 16) for f in files])


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_in_the_order_asked_for(tokens: Path, data: st.DataObject) -> None:
    dataset = TokenDataset(tokens)
    indices = data.draw(st.lists(st.integers(0, dataset.num_sequences - 1), max_size=40))
    assert np.array_equal(dataset.rows(indices), plain(tokens)[indices])


def test_it_tells_its_shape(tokens: Path) -> None:
    dataset = TokenDataset(tokens, verify=True)
    assert len(dataset) == dataset.num_sequences == len(plain(tokens)) > 30
    assert (dataset.seq_len, dataset.vocab_size) == (15, 338)
    assert dataset[7].dtype == np.int64
    assert dataset[7].shape == (16,)


@pytest.mark.parametrize("index", [-1, 10**6])
def test_there_are_no_rows_outside(tokens: Path, index: int) -> None:
    with pytest.raises(IndexError):
        TokenDataset(tokens)[index]


def test_it_can_be_sent_to_another_process(tokens: Path) -> None:
    dataset = TokenDataset(tokens)
    before = dataset[3]
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[3], before)


def test_a_missing_file_is_named(tokens: Path) -> None:
    (tokens / "tokens" / "00002.bin").unlink()
    with pytest.raises(DataError, match=r"(?s)00002\.bin.*no such file"):
        TokenDataset(tokens)


def test_a_file_cut_short_is_named(tokens: Path) -> None:
    path = tokens / "tokens" / "00001.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"(?s)00001\.bin.*found 319 bytes, allowed: 320"):
        TokenDataset(tokens)


def test_changed_bytes_are_found_when_asked(tokens: Path) -> None:
    path = tokens / "tokens" / "00001.bin"
    data = bytearray(path.read_bytes())
    data[4] ^= 1
    path.write_bytes(data)
    dataset = TokenDataset(tokens)
    with pytest.raises(DataError, match=r"(?s)00001\.bin.*found sha256"):
        TokenDataset(tokens, verify=True)
    found = []
    for part in range(3):
        try:
            dataset.verify(part, 3)
        except DataError:
            found.append(part)
    assert found == [1]  # the second file is the second process's


def test_an_id_outside_the_vocabulary_never_reaches_a_model(tokens: Path) -> None:
    path = tokens / "tokens" / "00000.bin"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(DataError, match="found token 65535, allowed: below 338"):
        TokenDataset(tokens)[0]


def test_what_is_not_a_tokens_artifact_is_refused(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError):
        TokenDataset(tmp_path)
    write_record(tokens, dataclasses.replace(read_record(tokens), kind="documents"))
    with pytest.raises(ConfigError, match="kind documents, allowed: tokens"):
        TokenDataset(tokens)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b"\xff", b'{"files": [{"name": "a"}], "missing": []}'])
def test_a_record_that_is_not_whole_is_refused(tokens: Path, content: bytes) -> None:
    (tokens / "record.json").write_bytes(content)
    with pytest.raises(IncompleteError, match="not the record of an artifact"):
        TokenDataset(tokens)
