"""The shipped pipelines run from crawl to documents, with user files for those that may not be distributed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import fasttext
import pytest

from dclm.core.errors import AssetError
from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.documents.artifact import Artifact
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("pool") / "sample", seed=5, documents=120, files=2)


@pytest.fixture(scope="module")
def own_files(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stand-ins for DCLM's published files: a classifier with its labels, a list of domains."""
    folder = tmp_path_factory.mktemp("own")
    lines = []
    for label, name in (("hq", "quality_positive"), ("cc", "quality_negative")):
        with gzip.open(pool / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = [" ".join(json.loads(line)["text"].split()) for line in file]
        lines += [f"__label__{label} {text}" for text in texts[:200]]
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"dim": 4, "bucket": 1000, "wordNgrams": 2, "thread": 1, "seed": 1, "verbose": 0}
    fasttext.train_supervised(str(folder / "train.txt"), **settings).save_model(str(folder / "fasttext-oh-eli5"))
    (folder / "refinedweb-domains-curated").write_text("blocked.example\n", encoding="utf-8")
    return folder


def run(name: str, pool: Path, out: Path) -> Record:
    bound = bind(load_pipeline(PIPELINES / f"{name}.yaml"))
    return curate(
        bound,
        list_files([str(pool / "warc" / "*.gz")]),
        out,
        CurateOptions(unit_bytes=0, shard_bytes=0),
        SerialEngine(),
    )


@pytest.mark.shared
def test_what_is_nowhere_is_named_with_the_way_to_give_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path))
    monkeypatch.delenv("DCLM_ASSETS", raising=False)
    for name, file in (("dclm_baseline", "fasttext-oh-eli5"), ("refinedweb", "refinedweb-domains-curated")):
        with pytest.raises(
            AssetError, match=f"asset {file}(.|\n)*hint: save the file as {file} in .*DCLM_ASSETS=FOLDER"
        ):
            bind(load_pipeline(PIPELINES / f"{name}.yaml"))


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["dclm_baseline", "dclm_baseline_fixed", "dclm_baseline_minhash", "refinedweb"])
def test_with_the_users_files_it_runs_and_records_their_hashes(
    name: str, pool: Path, own_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_ASSETS", str(own_files))
    record = run(name, pool, tmp_path / "out")
    rows = Artifact(tmp_path / "out").steps
    assert rows[0].documents_in == 120
    assert 0 < rows[-1].documents_out < 120
    hashes = record.config["files"]
    own = ["refinedweb-domains-curated", *(["fasttext-oh-eli5"] if name.startswith("dclm_baseline") else [])]
    assert {file: hashes[file] for file in own} == {file: sha256_file(own_files / file) for file in own}


@pytest.mark.shared
@pytest.mark.network
@pytest.mark.slow
def test_c4_runs(pool: Path, tmp_path: Path) -> None:
    record = run("c4", pool, tmp_path / "out")
    steps = [step["step"] for step in record.counts["steps"]]
    assert [name for name in steps if name in ("sentences", "exact", "langdetect")] == [
        "sentences", "exact", "exact", "sentences", "langdetect",
    ]  # fmt: skip
    assert 0 < record.counts["kept"] < 120
