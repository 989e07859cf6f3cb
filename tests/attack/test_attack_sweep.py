"""Foreign files in an artifact's folders survive when the artifact is remade; our own leftovers are deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.core.record import read_record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files
from dclm.pool.spec import PoolMap, Sample, resolve_pool
from dclm.recipe.verify.run import verify
from dclm.tokens.stage import TokenizeConfig, tokenize


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_curation_sweeps_its_own_files_alone(tmp_path: Path) -> None:
    pool, out, pipeline = tmp_path / "pool", tmp_path / "out", tmp_path / "p.yaml"
    pipeline.write_text("name: p\nsteps:\n  - page_length: {of: word, min: 1}\n")
    pool.mkdir()
    for number in range(3):
        (pool / f"{number}.jsonl").write_text(f'{{"text": "document {number}"}}\n')

    options = CurateOptions(unit_bytes=0, shard_bytes=0)

    def run() -> set[str]:
        curate(bind(load_pipeline(pipeline), {}), list_files([str(pool)]), out, options, SerialEngine(), force=True)
        return {entry.path for entry in read_record(out).files}

    before = run()
    mine = {"documents/thesis.txt", "ledger/00009.parquet", "samples/notes/a.md", "documents/00002.parquet.bak"}
    for name in mine:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    for number in (1, 2):
        (pool / f"{number}.jsonl").unlink()
    after = run()
    assert len(after) < len(before)
    assert files(out) == after | mine | {"record.json"}
    assert verify(str(out)).exit_code == 0


def test_tokenizing_sweeps_its_own_files_alone(tmp_path: Path, tokenizer_json: str) -> None:
    texts, out = tmp_path / "texts.jsonl", tmp_path / "out"
    config = TokenizeConfig(seq_len=15, rows_per_shard=2)

    def run(lines: int) -> set[str]:
        texts.write_text("".join(f'{{"text": "{"ab cd " * 20}{n}"}}\n' for n in range(lines)))
        tokenize([texts], out, tokenizer=tokenizer_json, config=config, force=True)
        return {entry.path for entry in read_record(out).files}

    before = run(8)
    (out / "tokens" / "mine.bin").write_text("mine")
    after = run(2)
    assert len(after) < len(before)
    assert files(out) == after | {"record.json", "tokens/mine.bin"}


def test_what_a_killed_run_left_of_a_pool_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "pool" / ".tmp-sample-1-4-1-abc"
    (left / "warc").mkdir(parents=True)
    (left / "warc" / "half.warc.gz").write_bytes(b"half")
    (tmp_path / "pool" / "mine.txt").write_text("mine")
    resolve_pool(PoolMap(sample=Sample(seed=1, documents=4, files=1)), str(tmp_path / "pool"))
    assert not left.exists()
    assert (tmp_path / "pool" / "mine.txt").exists()


@pytest.fixture(scope="session")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(["<|endoftext|>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    backend.save(str(path))
    return str(path)
