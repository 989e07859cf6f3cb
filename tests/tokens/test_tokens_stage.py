"""From documents to shuffled rows: nothing is lost, every token is accounted for, the bytes never vary."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokens_texts import make_shards

from dclm.core.errors import ConfigError, DataError, IncompleteError
from dclm.core.record import Record, describe_files, fingerprint, read_record, write_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.core.stores.store import open_store, put
from dclm.engine.local import LocalEngine
from dclm.eval.tokenizer import Tokenizer as EvalTokenizer
from dclm.tokens import pack, shuffle
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.tokens.tokenizer import Encoded, Encoder, encode

Write = Callable[[str, Sequence[Sequence[str]]], Path]
PAD = 338  # the small tokenizer's 336 ids without added tokens, + 2


def streams(path: str, shards: Sequence[Sequence[str]]) -> list[list[int]]:
    """Each shard's documents, encoded one by one by the reference tokenizer, with EOT after each."""
    return [[i for text in texts for i in [*encode(path, "hf", [text]).ids.tolist(), 0]] for texts in shards]


def all_rows(root: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    dataset = TokenDataset(root, verify=True)
    return dataset.rows(range(dataset.num_sequences))


def contents(root: Path) -> dict[str, str]:
    return {f.path: f.sha256 for f in read_record(root).files}


def sorted_rows(rows: Any) -> list[tuple[int, ...]]:
    return sorted(map(tuple, np.asarray(rows).tolist()))


def account(record: Record, row_len: int) -> None:
    c: Any = record.counts
    produced = c["bos_ids"] + c["text_ids"] + c["eot_ids"] + c["padding_ids"]
    assert produced + c["repeated_ids"] - c["unused_ids"] == c["sequences"] * row_len == c["ids"]


@given(documents=st.integers(1, 60), shards=st.integers(1, 5), seq_len=st.integers(1, 70))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stream_packing_loses_nothing_and_pads_one_row_at_most(
    tokenizer_json: str, tmp_path_factory: pytest.TempPathFactory, documents: int, shards: int, seq_len: int
) -> None:
    texts = make_shards(documents, shards)
    root = tmp_path_factory.mktemp("stream")
    out = tmp_path_factory.mktemp("made") / "out"
    for index, shard in enumerate(texts):
        (root / f"{index}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in shard))
    record = tokenize([root], out, tokenizer=tokenizer_json, config=TokenizeConfig(seq_len=seq_len))
    length = seq_len + 1
    whole: list[list[int]] = []
    tails: list[int] = []
    for stream in streams(tokenizer_json, texts):
        whole += [stream[i : i + length] for i in range(0, len(stream) - length + 1, length)]
        tails += stream[len(stream) - len(stream) % length :]
    padding = -len(tails) % length
    tails += [0] * padding
    expected = whole + [tails[i : i + length] for i in range(0, len(tails), length)]
    assert sorted_rows(all_rows(out)) == sorted_rows(expected)
    assert record.counts["padding_ids"] == padding
    assert record.counts["documents"] == documents
    account(record, length)


def open_lm_packing(documents: Sequence[Sequence[int]], length: int) -> Iterator[list[int]]:
    """open_lm's `preprocess` of one file: a strict `<`, and the rest is padded."""
    buffer: list[int] = []
    for document in documents:
        buffer += document
        index = 0
        while index < len(buffer) - length:
            yield buffer[index : index + length]
            index += length
        buffer = buffer[index:]
    if buffer:
        yield buffer + [PAD] * (length - len(buffer))


@pytest.mark.parametrize("seq_len", [1, 7, 24, 63, 500])
def test_dclm_packing_is_open_lms(tokenizer_json: str, write_jsonl: Write, tmp_path: Path, seq_len: int) -> None:
    texts = make_shards(40, 4)
    root = write_jsonl("documents", texts)
    config = TokenizeConfig(seq_len=seq_len, packing="dclm")
    record = tokenize([root], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    expected: list[list[int]] = []
    for shard in texts:
        expected += open_lm_packing(streams(tokenizer_json, [[text] for text in shard]), seq_len + 1)
    assert sorted_rows(all_rows(tmp_path / "out")) == sorted_rows(expected)
    assert record.counts["padding_ids"] == sum(row.count(PAD) for row in expected)
    account(record, seq_len + 1)


def test_a_row_that_a_file_fills_exactly_is_not_padded(tokenizer_json: str, write_jsonl: Write, tmp_path: Path) -> None:
    root = write_jsonl("documents", [["river stone river"] * 4])
    length = len(streams(tokenizer_json, [["river stone river"] * 4])[0])
    config = TokenizeConfig(seq_len=length - 1, packing="dclm")
    record = tokenize([root], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    assert (record.counts["sequences"], record.counts["padding_ids"]) == (1, 0)


@pytest.fixture
def documents(write_jsonl: Write) -> Path:
    return write_jsonl("documents", make_shards(400, 7))


CONFIG = TokenizeConfig(seq_len=31, seed=3, rows_per_shard=48)


def test_the_bytes_do_not_depend_on_workers(tokenizer_json: str, documents: Path, tmp_path: Path) -> None:
    roots = [tmp_path / f"out{workers}" for workers in (1, 2, 4)]
    for root, workers in zip(roots, (1, 2, 4), strict=True):
        tokenize([documents], root, tokenizer=tokenizer_json, config=CONFIG, engine=LocalEngine(workers))
    assert contents(roots[0]) == contents(roots[1]) == contents(roots[2])
    assert len(contents(roots[0])) > 10


def test_the_bytes_do_not_depend_on_how_much_is_held_in_memory(
    tokenizer_json: str, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize([documents], tmp_path / "large", tokenizer=tokenizer_json, config=CONFIG)
    monkeypatch.setattr(pack, "RUN_BYTES", 32 * 2 * 5)
    monkeypatch.setattr(shuffle, "GROUP_BYTES", 1)
    tokenize([documents], tmp_path / "small", tokenizer=tokenizer_json, config=CONFIG)
    assert contents(tmp_path / "large") == contents(tmp_path / "small")


def test_the_encoder_does_not_change_the_artifact(tokenizer_json: str, documents: Path, tmp_path: Path) -> None:
    for encoder in ("fast", "hf"):
        tokenize([documents], tmp_path / encoder, tokenizer=tokenizer_json, config=CONFIG, encoder=encoder)
    fast, slow = read_record(tmp_path / "fast"), read_record(tmp_path / "hf")
    assert (fast.fingerprint, fast.files) == (slow.fingerprint, slow.files)
    assert (fast.provenance["encoder"], slow.provenance["encoder"]) == ("fast", "hf")


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"seq_len": 30}, {"packing": "dclm"}, {"rows_per_shard": 49}, {"num_tokens": 900}]
)
def test_whatever_changes_the_bytes_changes_the_fingerprint(
    tokenizer_json: str, documents: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    one = tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)
    other_config = dataclasses.replace(CONFIG, **change)
    other = tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=other_config, force=True)
    assert one.fingerprint != other.fingerprint
    assert one.files != other.files
    left = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert left == {"record.json", *contents(tmp_path / "out")}  # nothing remains of the first one


def test_a_finished_artifact_is_replaced_only_if_asked(tokenizer_json: str, documents: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", TokenizeConfig(seq_len=16, seed=9)
    tokenize([documents], out, tokenizer=tokenizer_json, config=TokenizeConfig(seq_len=16))
    before = contents(out)
    with pytest.raises(ConfigError, match="holds finished tokens"):
        tokenize([documents], out, tokenizer=tokenizer_json, config=other)
    assert contents(out) == before
    tokenize([documents], tmp_path / "fresh", tokenizer=tokenizer_json, config=other)
    tokenize([documents], out, tokenizer=tokenizer_json, config=other, force=True)
    assert contents(out) == contents(tmp_path / "fresh")
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == {*contents(out), "record.json"}


def test_a_finished_artifact_is_not_made_again(tokenizer_json: str, documents: Path, tmp_path: Path) -> None:
    class Idle(SerialEngine):
        def map(self, function, units, *, one_gpu_each=False):  # type: ignore[no-untyped-def]
            raise AssertionError("nothing is left to do")

    made = tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)
    assert tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG, engine=Idle()) == made


KILLED = """
import os, signal, sys
from pathlib import Path
from dclm.core.stages import journal
from dclm.core.stages.engine import SerialEngine
from dclm.tokens.stage import TokenizeConfig, tokenize

journal.FLUSH_SECONDS = -1.0

class Doomed(SerialEngine):
    left = int(sys.argv[4])
    def map(self, function, units, one_gpu_each=False):
        for index, unit in enumerate(units):
            if Doomed.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            Doomed.left -= 1
            yield index, function(unit)

config = TokenizeConfig(seq_len=31, seed=3, rows_per_shard=48, weights=(1.0,), num_tokens=31 * 500, max_repeats=2.0)
tokenize([Path(sys.argv[1])], Path(sys.argv[2]), tokenizer=sys.argv[3], engine=Doomed(), config=config)
"""


@pytest.mark.parametrize("units", [0, 3, 9, 13])
def test_killed_anywhere_and_run_again_gives_the_same_bytes(
    tokenizer_json: str, documents: Path, tmp_path: Path, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(CONFIG, weights=(1.0,), num_tokens=31 * 500, max_repeats=2.0)
    tokenize([documents], tmp_path / "clean", tokenizer=tokenizer_json, config=config)
    arguments = [str(documents), str(tmp_path / "out"), tokenizer_json, str(units)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "record.json").exists()
    packed: list[object] = []
    original = pack._pack
    monkeypatch.setattr(pack, "_pack", lambda *a: (packed.append(a), original(*a))[1])
    tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")
    assert len(packed) == max(0, 7 - units)  # finished units are not repeated
    names = ["manifest.jsonl", "record.json", "tokenizer.json", "tokenizer_config.json", "tokens"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names


def test_sources_are_mixed_by_weight_exactly(tokenizer_json: str, write_jsonl: Write, tmp_path: Path) -> None:
    one = write_jsonl("one", [["river stone"] * 400])
    two = write_jsonl("two", [["quick banana"] * 100])
    config = TokenizeConfig(seq_len=9, weights=(1.0, 3.0), num_tokens=9 * 101, max_repeats=10)
    record = tokenize([one, two], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    sources: Any = record.counts["sources"]
    assert [s["taken"] for s in sources] == [25, 76]
    account(record, 10)


@pytest.mark.parametrize(
    "bad", [{"weights": (-1.0,)}, {"weights": (1.0, 2.0)}, {"weights": (1.0,), "max_repeats": 1e-9}]
)
def test_impossible_settings_are_refused(
    tokenizer_json: str, documents: Path, tmp_path: Path, bad: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"^(weights|mixture)\n"):
        tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=TokenizeConfig(**bad))


def test_a_row_holds_at_least_a_token_and_its_target() -> None:
    with pytest.raises(ValueError, match="found seq_len 0"):
        TokenizeConfig(seq_len=0)


def test_one_number_written_in_two_ways_is_one_configuration() -> None:
    assert fingerprint(TokenizeConfig(max_repeats=2, weights=(1, 2))) == fingerprint(
        TokenizeConfig(max_repeats=2.0, weights=(1.0, 2.0))
    )


@pytest.mark.parametrize("at_once", [1, 64])
def test_a_wrong_id_in_a_sampled_document_stops_the_shard(
    at_once: int, tokenizer_json: str, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(path: str, encoder: Encoder, texts: Sequence[str]) -> Encoded:
        ids, offsets = encode(path, encoder, texts)
        return Encoded(ids ^ np.uint32(1), offsets)

    monkeypatch.setattr(pack, "encode", wrong)
    monkeypatch.setattr(pack, "_CHECKED_AT_ONCE", at_once)
    with pytest.raises(DataError, match="the fast encoder's ids are not Hugging Face's"):
        tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)


def test_too_few_tokens_are_told_in_sequences(tokenizer_json: str, documents: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)sequences are needed from documents, which has .* --max-repeats"):
        tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=TokenizeConfig(num_tokens=10**9))
    with pytest.raises(IncompleteError):
        TokenDataset(tmp_path / "out")


def test_ids_beyond_16_bits_get_a_wider_type(tokenizer_json: str, write_jsonl: Write, tmp_path: Path) -> None:
    data = json.loads(Path(tokenizer_json).read_text())
    last = data["added_tokens"][-1]
    data["added_tokens"] += [last | {"id": i, "content": f"<filler{i}>"} for i in range(338, (1 << 16) + 1)]
    (tmp_path / "wide.json").write_text(json.dumps(data))
    root = write_jsonl("documents", [["river stone <filler65536> quick"] * 10])
    record = tokenize([root], tmp_path / "out", tokenizer=str(tmp_path / "wide.json"), config=TokenizeConfig(seq_len=8))
    assert (record.config["dtype"], record.config["vocab_size"]) == ("uint32", 65537)
    assert (all_rows(tmp_path / "out") == 65536).sum() == 10


def test_no_documents_at_all_is_an_error(tokenizer_json: str, write_jsonl: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no documents"):
        tokenize([write_jsonl("none", [[], []])], tmp_path / "out", tokenizer=tokenizer_json)


def test_the_artifact_holds_the_tokenizer_it_was_made_with(
    tokenizer_json: str, documents: Path, tmp_path: Path
) -> None:
    """Evaluation reads it there, with the token that ends a document, when the file that was passed is gone."""
    passed = tmp_path / "mine.json"
    passed.write_bytes(Path(tokenizer_json).read_bytes())
    config = TokenizeConfig(seq_len=15, eot="<|padding|>")
    record = tokenize([documents], tmp_path / "out", tokenizer=str(passed), config=config)
    passed.unlink()
    held = tmp_path / "out" / "tokenizer.json"
    entries = {f.path: f.sha256 for f in record.files}
    assert entries["tokenizer.json"] == record.inputs["tokenizer"] == sha256_file(held)
    assert entries["tokenizer_config.json"] == sha256_file(tmp_path / "out" / "tokenizer_config.json")
    reader = EvalTokenizer(held)
    assert reader.end_id == record.config["eot_id"] == 1
    assert reader.clean_up
    assert list(reader.encode("a river")) == encode(str(held), "hf", ["a river"]).ids.tolist()


def test_documents_and_tokens_on_s3_give_the_bytes_of_a_disk(
    tokenizer_json: str, documents: Path, tmp_path: Path, s3: str
) -> None:
    config = dataclasses.replace(CONFIG, weights=(1.0,), num_tokens=31 * 300, max_repeats=2.0)
    here = tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    for path in documents.iterdir():
        put(f"{s3}/in/{path.name}", path.read_bytes())
    files = [f"{s3}/in/{path.name}" for path in sorted(documents.iterdir())]
    there = tokenize(files, f"{s3}/out", tokenizer=tokenizer_json, config=dataclasses.replace(CONFIG, seed=3))
    assert there.counts["documents"] == here.counts["documents"]
    again = tokenize([documents], f"{s3}/same", tokenizer=tokenizer_json, config=config)
    assert again.files == here.files
    assert set(open_store(f"{s3}/same").list()) == {"record.json", *(f.path for f in here.files)}


def test_a_flipped_bit_in_a_documents_artifact_is_found(tokenizer_json: str, tmp_path: Path) -> None:
    artifact = tmp_path / "documents"
    (artifact / "documents").mkdir(parents=True)
    path = artifact / "documents" / "00000.parquet"
    pq.write_table(pa.table({"text": ["river stone banana"] * 50}), path)
    record = Record(
        kind="documents", name="d", fingerprint="f", config={}, files=describe_files(artifact, {str(path): 50})
    )
    write_record(artifact, record)
    tokenize([artifact], tmp_path / "honest", tokenizer=tokenizer_json, config=CONFIG)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"sha256 .* as in its record"):
        tokenize([artifact], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)
    assert not (tmp_path / "out" / "record.json").exists()
