"""open_lm's token sets are imported and exported unchanged, in every form in use."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens_texts import make_shards

from dclm.core.counts import TokensCounts
from dclm.core.errors import DataError
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.manifest import Shard, format_manifest, parse_manifest
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.tokens.webdataset import export_webdataset, import_webdataset

ROWS = [[5, 6, 7, 0], [1, 2, 3, -1], [50256, 0, 0, 9]]


def write_tar(path: Path, rows: Sequence[object], suffix: str = ".json.gz") -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for index, row in enumerate(rows):
            data = json.dumps(row).encode()
            data = gzip.compress(data) if suffix.endswith(".gz") else data
            info = tarfile.TarInfo(f"{index:04d}-key{suffix}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_set(folder: Path, manifest: str | None) -> Path:
    folder.mkdir()
    write_tar(folder / "00000001.tar", ROWS[:2])
    write_tar(folder / "00000000.tar", ROWS[2:])
    if manifest is not None:
        (folder / "manifest.jsonl").write_text(manifest)
    return folder


LINES = ['{"shard": "00000001", "num_sequences": 2}', '{"shard": "00000000", "num_sequences": 1}']


@pytest.mark.parametrize(
    "manifest",
    [
        "\n".join(LINES) + "\n",
        "\n".join(LINES),
        "\n".join(LINES).replace("num_sequences", "num_chunks"),
        "\r\n".join(LINES),
    ],
    ids=["open_lm", "tokshuf: no newline at the end", "older: num_chunks", "carriage returns"],
)
def test_every_line_of_every_form_of_manifest_is_read(tmp_path: Path, manifest: str) -> None:
    record = import_webdataset(write_set(tmp_path / "set", manifest), tmp_path / "out", seq_len=3, vocab_size=50432)
    dataset = TokenDataset(tmp_path / "out", verify=True)
    expected = [[5, 6, 7, 0], [1, 2, 3, 50431], [50256, 0, 0, 9]]  # negative ids count from the model's vocabulary
    assert dataset.rows(range(3)).tolist() == expected
    assert record.counts == TokensCounts(sequences=3, tokens=9, ids=12).plain()


def test_negative_ids_are_never_rewritten_by_a_vocabulary_that_was_not_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found the id -1, which counts .*\nhint: pass --vocab-size: 50432"):
        import_webdataset(write_set(tmp_path / "set", None), tmp_path / "out", seq_len=3)


def test_without_a_manifest_shards_come_by_name(tmp_path: Path) -> None:
    import_webdataset(write_set(tmp_path / "set", None), tmp_path / "out", seq_len=3, vocab_size=50432)
    assert TokenDataset(tmp_path / "out")[0].tolist() == [50256, 0, 0, 9]


def test_nothing_is_left_of_an_import_before(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", None)
    import_webdataset(folder, tmp_path / "out", seq_len=3, vocab_size=50432)
    (folder / "00000001.tar").unlink()
    record = import_webdataset(folder, tmp_path / "out", seq_len=3, vocab_size=50432, force=True)
    left = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert left == {"record.json", *(f.path for f in record.files)}


@pytest.mark.parametrize("suffix", [".json", ".txt"])
def test_members_need_not_be_compressed(tmp_path: Path, suffix: str) -> None:
    write_tar(tmp_path / "set" / "0.tar", ROWS[:1], suffix)
    import_webdataset(tmp_path / "set", tmp_path / "out", seq_len=3, vocab_size=50432)
    assert TokenDataset(tmp_path / "out")[0].tolist() == ROWS[0]


def test_export_and_import_give_the_same_rows(
    tokenizer_json: str, write_jsonl: Callable[[str, Sequence[Sequence[str]]], Path], tmp_path: Path
) -> None:
    documents = write_jsonl("documents", make_shards(20, 2))
    config = TokenizeConfig(seq_len=15, rows_per_shard=10)
    made = tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    for name in ("one", "two"):
        export_webdataset(tmp_path / "out", tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir() if not p.name.startswith("."))
    assert files[:2] == ["00000000.tar", "00000001.tar"]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    back = import_webdataset(tmp_path / "one", tmp_path / "back", seq_len=15)
    tokens = [f for f in made.files if f.path.startswith("tokens/")]
    assert [f for f in back.files if f.path.startswith("tokens/")] == tokens


def test_open_lm_would_read_every_exported_shard(
    tokenizer_json: str, write_jsonl: Callable[[str, Sequence[Sequence[str]]], Path], tmp_path: Path
) -> None:
    documents = write_jsonl("documents", make_shards(20, 2))
    config = TokenizeConfig(seq_len=15, rows_per_shard=10)
    tokenize([documents], tmp_path / "out", tokenizer=tokenizer_json, config=config)
    export_webdataset(tmp_path / "out", tmp_path / "set")
    lines = [json.loads(line) for line in (tmp_path / "set/manifest.jsonl").read_text().split("\n")[:-1]]
    rows = []
    for line in lines:  # as in open_lm's get_metadata_file and preprocess_json
        with tarfile.open(tmp_path / "set" / f"{line['shard']}.tar") as archive:
            members = archive.getmembers()
            assert len(members) == line["num_sequences"]
            for member in members:
                assert member.name.split(".", 1)[1] == "json.gz"
                content = archive.extractfile(member)
                assert content is not None
                rows.append(json.loads(gzip.decompress(content.read()).decode()))
    dataset = TokenDataset(tmp_path / "out")
    assert np.array_equal(rows, dataset.rows(range(dataset.num_sequences)))


@given(st.lists(st.tuples(st.from_regex(r"\A[0-9a-z_]{1,9}\Z"), st.integers(0, 9999)), min_size=1))
def test_manifests_are_read_as_they_were_written(shards: list[tuple[str, int]]) -> None:
    expected = [Shard(*shard) for shard in shards]
    text = format_manifest(expected)
    assert parse_manifest(text, "m") == parse_manifest(text.rstrip("\n"), "m") == expected


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"shard": "x"}', '{"shard": 3, "num_sequences": 1}', '{"shard": "x", "num_sequences": "1"}',
     '{"shard": "../x", "num_sequences": 1}', '{"shard": "x", "num_sequences": -1}', ""],
)  # fmt: skip
def test_a_bad_manifest_line_is_named(tmp_path: Path, line: str) -> None:
    where = r"manifest\.jsonl" + (":1" if line else "")
    with pytest.raises(DataError, match=where):
        import_webdataset(write_set(tmp_path / "set", line), tmp_path / "out", seq_len=3, vocab_size=50432)


def test_a_count_that_is_not_the_manifests_is_told(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", '{"shard": "00000001", "num_sequences": 3}')
    with pytest.raises(DataError, match="found 2 sequences, but the manifest states 3"):
        import_webdataset(folder, tmp_path / "out", seq_len=3, vocab_size=50432)
    assert not (tmp_path / "out" / "record.json").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 2, 3], r"found shape \(3,\), allowed: \(4,\)"),
        ([1, 2, 3, 50432], "found ids 1 … 50432"),
        ([1, 2, 3, -50433], "found ids -1 … 3"),
        ("text", "not a list of token ids"),
        ([1, 2, [3], 4], "not a list of token ids"),
        ([1, 2, None, 4], "not a list of token ids"),
        ({"a": 1}, "not a list of token ids"),
        ([1, 2, 3, 2**70], "not a list of token ids"),
        ([1, 2, 3.5, 4], "not a list of token ids"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: object, message: str) -> None:
    write_tar(tmp_path / "set" / "0.tar", [ROWS[0], row])
    with pytest.raises(DataError, match=rf"(?s)0\.tar: 0001-key\.json\.gz.*{message}"):
        import_webdataset(tmp_path / "set", tmp_path / "out", seq_len=3, vocab_size=50432)


@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_a_tar_cut_short_is_named(tmp_path: Path, keep: float) -> None:
    write_tar(tmp_path / "set" / "0.tar", [[i, i, i, i] for i in range(50)])
    data = (tmp_path / "set" / "0.tar").read_bytes()
    (tmp_path / "set" / "0.tar").write_bytes(data[: int(len(data) * keep) - 7])
    with pytest.raises(DataError, match=r"0\.tar"):
        import_webdataset(tmp_path / "set", tmp_path / "out", seq_len=3, vocab_size=50432)


def test_a_folder_without_token_sets_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither manifest\.jsonl nor \.tar files"):
        import_webdataset(tmp_path / "set", tmp_path / "out")
