"""Perplexity: the windows, the sum, the error, and the named texts."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch.nn import functional as F

from dclm.core.errors import ConfigError, DataError
from dclm.core.stages.engine import SerialEngine
from dclm.eval import perplexity
from dclm.eval.perplexity import DOCUMENTS, bits_per_byte, spans, windows
from dclm.eval.run.stage import evaluate
from dclm.eval.texts import load_text_set, read_documents, rows_of_jsonl, rows_of_wikitext, text_names
from dclm.eval.tokenizer import Tokenizer
from dclm.model.transformer import Transformer
from dclm.model.weights import write_model


@given(ids=st.lists(st.integers(0, 9), max_size=40).map(tuple), size=st.integers(1, 12))
def test_windows_are_those_of_lm_eval_and_predict_every_token_once(ids: tuple[int, ...], size: int) -> None:
    found = list(windows(ids, 99, size))
    assert tuple(token for window in found for token in window.predicted) == ids
    theirs = get_rolling_token_windows(list(ids), prefix_token=99, max_seq_len=size, context_len=1)
    assert [(list(w.context), list(w.predicted)) for w in found] == list(map(make_disjoint_window, theirs))
    assert all(len(w.context) + len(w.predicted) - 1 <= size for w in found)


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one set of three short documents, and no other data anywhere."""
    folder = tmp_path / "tasks"
    (folder / "texts").mkdir(parents=True)
    documents = ["Hé!", "a small text " * 60, "b"]
    data = tmp_path / "assets" / "text"
    data.mkdir(parents=True)
    content = gzip.compress("".join(json.dumps({"text": d, "id": 1}) + "\n" for d in documents).encode())
    (data / "three.jsonl.gz").write_bytes(content)
    sha = hashlib.sha256(rows_of_jsonl(content)).hexdigest()
    size = sum(len(d.encode()) for d in documents)
    (folder / "texts" / "three.yaml").write_text(
        f"text: three\nversion: 1\nabout: A test.\ndata: {{form: jsonl, file: three.jsonl.gz, documents: 3,"
        f" bytes: {size}, sha256: {sha}}}\nsource: here\nlicence: Apache-2.0\n"
    )
    for name, value in (("ASSETS", "assets"), ("SHARED", "nowhere"), ("CACHE", "cache")):
        monkeypatch.setenv(f"DCLM_{name}", str(tmp_path / value))
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    monkeypatch.setattr("dclm.eval.perplexity.UNIT_BYTES", 4)
    perplexity._documents.cache_clear()
    load_text_set.cache_clear()
    return folder


@pytest.fixture
def model(tmp_path: Path, small_model: Transformer, letters_file: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(folder, small_model.state_dict(), small_model.config, letters_file)
    return str(folder)


def test_bits_are_the_sum_over_plain_passes_of_the_model(
    sample: Path, model: str, small_model: Transformer, letters: Tokenizer, tmp_path: Path
) -> None:
    record = evaluate(model, tmp_path / "out", perplexity=("three",), device="cpu", folder=sample)
    assert record.counts["items"] == 0
    rows = pq.read_table(tmp_path / "out" / "texts.parquet").to_pylist()
    assert [row["document"] for row in rows] == [0, 1, 2]
    expected = []
    for text in read_documents(load_text_set("three", sample)):
        bits = 0.0
        for window in windows(letters.encode(text), letters.end_id, small_model.config.seq_len):
            whole = torch.tensor([window.context + window.predicted])
            with torch.inference_mode():
                logits = small_model(whole[:, :-1])[0, len(window.context) - 1 :]
            bits += float(F.cross_entropy(logits, torch.tensor(window.predicted), reduction="sum")) / math.log(2)
        expected.append(bits)
    assert [row["bits"] for row in rows] == pytest.approx(expected, rel=1e-5)
    assert rows[0]["bytes"] == 4
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    found = scores["perplexity"]["three"]
    assert found["bits_per_byte"] == pytest.approx(sum(expected) / sum(row["bytes"] for row in rows), rel=1e-5)
    assert (found["documents"], scores["core_v2"], scores["tasks"]) == (3, None, {})


def test_an_interrupted_run_reuses_its_documents(sample: Path, model: str, tmp_path: Path) -> None:
    class Once(SerialEngine):
        def map(self, function, units, *, one_gpu_each=False):  # type: ignore[no-untyped-def]
            for index, unit in enumerate(units):
                yield index, function(unit)
                raise KeyboardInterrupt

    for name in ("whole", "broken"):
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                evaluate(model, tmp_path / name, perplexity=("three",), device="cpu", folder=sample, engine=Once())
            assert not (tmp_path / name / "record.json").exists()
        evaluate(model, tmp_path / name, perplexity=("three",), device="cpu", folder=sample)
    for file in ("texts.parquet", "scores.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()


def test_a_damaged_model_names_text_and_document(
    sample: Path, tmp_path: Path, small_model: Transformer, letters_file: Path
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    state = {name: value.clone() for name, value in small_model.state_dict().items()}
    state["output.weight"][5] = float("nan")
    write_model(folder, state, small_model.config, letters_file)
    with pytest.raises(DataError, match=r"text three, document 0\nthe model gives a logit that is not finite"):
        evaluate(str(folder), tmp_path / "out", perplexity=("three",), device="cpu", folder=sample)


def test_texts_that_are_not_there_or_not_what_they_were_are_told(sample: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean `three`"):
        evaluate(model, tmp_path / "out", perplexity=("thre",), device="cpu", folder=sample)
    path = sample / "texts" / "three.yaml"
    path.write_text(path.read_text().replace("documents: 3", "documents: 4"))
    load_text_set.cache_clear()
    with pytest.raises(DataError, match="found 3 documents of"):
        evaluate(model, tmp_path / "out", perplexity=("three",), device="cpu", folder=sample)
    (tmp_path / "assets" / "text" / "three.jsonl.gz").unlink()
    path.write_text(path.read_text().replace("sha256: ", "sha256: 0"))
    load_text_set.cache_clear()
    with pytest.raises(ConfigError, match="text three"):
        evaluate(model, tmp_path / "out", perplexity=("three",), device="cpu", folder=sample)


def test_the_error_is_that_of_documents_drawn_anew() -> None:
    generator = np.random.default_rng(0)
    size = generator.integers(100, 5000, 300)
    bits = size * generator.normal(1.0, 0.1, 300)
    rows = [
        {"text": "t", "document": i, "bytes": int(s), "tokens": 1, "bits": float(b)}
        for i, (s, b) in enumerate(zip(size, bits, strict=True))
    ]
    found = bits_per_byte(pa.Table.from_pylist(rows, DOCUMENTS))
    draws = [generator.integers(0, 300, 300) for _ in range(2000)]
    again = [bits[d].sum() / size[d].sum() for d in draws]
    assert found.value == pytest.approx(bits.sum() / size.sum())
    assert found.standard_error == pytest.approx(float(np.std(again)), rel=0.08)


@given(st.lists(st.text(max_size=300_000 // 100), min_size=1, max_size=20))
def test_units_cover_every_document_once(documents: list[str]) -> None:
    found = spans(documents)
    assert [i for first, last in found for i in range(first, last)] == list(range(len(documents)))


def test_the_generated_text_is_the_same_on_every_machine() -> None:
    documents = read_documents(load_text_set("sample"))
    assert len(set(documents)) == 40


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(set(text_names()) - {"sample"}))
def test_the_texts_are_what_their_files_say(name: str) -> None:
    assert all(text.strip() for text in read_documents(load_text_set(name)))


def test_articles_of_wikitext_begin_at_their_titles() -> None:
    content = b" \n = One = \n \n text \n = = Part = = \n more \n = Two = \n x \n"
    assert rows_of_wikitext(content).count(b"\n") == 2
