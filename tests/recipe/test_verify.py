"""`dclm verify` on a small run: anything changed, deleted or edited by hand is found and named."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import DataError
from dclm.core.record import Record, read_record, write_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.recipe.recipe import load_recipe
from dclm.recipe.run import Run, RunOptions
from dclm.recipe.verify.findings import VerifyReport
from dclm.recipe.verify.run import verify

BYTES = Path(__file__).resolve().parent.parent.parent / "recipes" / "experiments" / "bytes.json"
RECIPE = """
name: small
seed: 3
data:
  - name: sample
    pool: {sample: {seed: 3, documents: 60, files: 2}}
    pipeline: p.yaml
validation: "pool:sample/validation.jsonl.gz"
tokenizer: BYTES
scale: bytes-74k
tokens: 20480
tasks: [copa]
limit: 5
contamination: true
allow_incomplete: true
"""
PIPELINE = """
name: p
steps:
  - extract: {with: resiliparse}
  - page_length: {of: word, min: 5}
  - exact: {of: text}
"""
CHECKPOINT = "train/checkpoints/step-000005/model.safetensors"

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, which must not be changed."""
    root = tmp_path_factory.mktemp("verify")
    (root / "p.yaml").write_text(PIPELINE, encoding="utf-8")
    (root / "r.yaml").write_text(RECIPE.replace("BYTES", str(BYTES)), encoding="utf-8")
    Run(load_recipe(root / "r.yaml"), root / "out", SerialEngine(), RunOptions()).execute()
    return root / "out"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged. Unchanged files share their bytes with the original."""
    target = tmp_path / "run"
    shutil.copytree(made, target, copy_function=os.link)
    record = read_record(target / "documents" / "sample")
    listing = [{**file, "address": str(file["address"]).replace(str(made), str(target))} for file in _pool(record)]
    _replace(target / "documents" / "sample" / "record.json", lambda text: text)  # its own copy
    write_record(target / "documents" / "sample", _with_pool(record, listing))
    return target


def _pool(record: Record) -> list[dict[str, object]]:
    pool = record.provenance["pool"]
    assert isinstance(pool, list)
    return pool


def _with_pool(record: Record, pool: list[dict[str, object]]) -> Record:
    return dataclasses.replace(record, provenance={**record.provenance, "pool": pool})


def _replace(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file that shares its bytes with another."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def found(report: VerifyReport, kind: str) -> list[str]:
    return [f"{f.where}: {f.what}" for f in report.findings if f.kind == kind]


def test_a_whole_run_is_verified(run: Path) -> None:
    report = verify(str(run))
    assert report.exit_code == 0
    assert not report.findings
    names = {each.what.split()[0] for each in report.verified}
    assert names == {"pool", "documents", "tokens", "checkpoint", "scores", "result"}
    sizes = sum(p.stat().st_size for p in run.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".bin"))
    assert report.bytes > sizes


def test_every_flipped_bit_is_found(run: Path) -> None:
    for name in sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()):
        if name.startswith(".") or name.endswith("timings.jsonl"):  # no result depends on these
            continue
        path = run / name
        before = path.read_bytes()
        _replace(path, _flip)
        report = verify(str(run))
        assert report.exit_code == 3, name
        assert any(name.rpartition("/")[2] in line for line in found(report, "differs")), (name, report.findings)
        path.write_bytes(before)
    assert verify(str(run)).exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "documents/sample/documents/00000.parquet", "documents/sample/record.json", "tokens/tokens/00000.bin",
        "tokens/record.json", CHECKPOINT, "train/metrics.jsonl", "scores/scores.json", "scores/items.parquet",
        "pool/sample/sample-3-60-2/warc/sample-00001.warc.gz", "validation/record.json",
    ],
)  # fmt: skip
def test_every_deleted_file_is_missed(name: str, run: Path) -> None:
    (run / name).unlink()
    report = verify(str(run))
    assert report.exit_code == 3
    assert any(name in line for line in found(report, "missing"))


def test_numbers_edited_in_a_record_are_found(run: Path) -> None:
    path = run / "documents" / "sample" / "record.json"
    _replace(path, lambda text: text.replace(b'"kept": ', b'"kept": 1'))
    with pytest.raises(DataError, match="was changed after it was written"):
        read_record(path.parent)
    assert found(verify(str(run)), "differs")


def test_scores_edited_by_hand_are_found(run: Path) -> None:
    """Even if the record of the scores, its digest and the result's chain are made to agree."""
    path = run / "scores" / "scores.json"
    right = json.loads(path.read_text())["tasks"]["copa"]["accuracy"]
    wrong = 1.0 if right < 1 else 0.0
    _replace(path, lambda text: text.replace(f'"accuracy": {right}'.encode(), f'"accuracy": {wrong}'.encode(), 1))
    record = read_record(run / "scores")
    changed = {"scores.json": (sha256_file(path), path.stat().st_size)}
    files = tuple(
        dataclasses.replace(f, sha256=changed[f.path][0], bytes=changed[f.path][1]) if f.path in changed else f
        for f in record.files
    )
    (run / "scores" / "record.json").unlink()
    forged = write_record(run / "scores", dataclasses.replace(record, files=files))

    def edit(text: bytes) -> bytes:
        result = json.loads(text)
        result["chain"][-1]["digest"] = forged.digest
        result["scores"]["copa"]["score"] = wrong
        return json.dumps(result).encode()

    _replace(run / "result.json", edit)
    lines = found(verify(str(run)), "differs")
    assert any("items give" in line for line in lines), lines


def test_an_artifact_that_was_made_of_another_is_found(run: Path) -> None:
    record = read_record(run / "tokens")
    _replace(run / "tokens" / "record.json", lambda text: text)
    write_record(run / "tokens", dataclasses.replace(record, counts={**record.counts, "text_bytes": 1}))
    lines = found(verify(str(run)), "differs")
    assert any(line.startswith("train/record.json: was made from a tokens") for line in lines)
    assert any("the tokens tokens: digest" in line for line in lines)


def test_the_command_says_what_it_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run)])
    assert ended.value.code == 0
    assert "everything is unchanged" in capsys.readouterr().out
    _replace(run / CHECKPOINT, _flip)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run), "--json"])
    assert ended.value.code == 3
    (report,) = json.loads(capsys.readouterr().out)
    assert [each["where"] for each in report["differs"]] == [CHECKPOINT]
    assert not report["ok"]


def test_what_holds_no_artifact_is_not_called_whole(tmp_path: Path, s3: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("nothing of ours")
    for address in (tmp_path / "folder", tmp_path / "folder" / "notes.txt", tmp_path / "gone", f"{s3}/gone"):
        with pytest.raises(DataError, match=r"no artifact|no such directory|does not exist"):
            verify(str(address))
    with pytest.raises(DataError):
        verify("s3://no-such-bucket-here/run")


def test_a_run_in_an_object_store_is_verified(run: Path, s3: str) -> None:
    from dclm.core.stores.store import put, read_bytes

    for path in sorted(p for p in run.rglob("*") if p.is_file()):
        put(f"{s3}/run/{path.relative_to(run).as_posix()}", path.read_bytes())
    report = verify(f"{s3}/run")
    assert report.exit_code == 0, report.findings
    where = f"{s3}/run/tokens/tokens/00000.bin"
    put(where, _flip(read_bytes(where) or b""))
    assert found(verify(f"{s3}/run"), "differs")[0].startswith("tokens/tokens/00000.bin: found sha256")


def test_a_result_is_made_of_verified_records_alone(run: Path, made: Path) -> None:
    _replace(run / "scores" / "scores.json", lambda text: text.replace(b'"accuracy": 0', b'"accuracy": 1', 1) + b" ")
    recipe = load_recipe(made.parent / "r.yaml")
    before = (run / "result.json").read_bytes()
    with pytest.raises(DataError, match="as in its record"):
        Run(recipe, run, SerialEngine(), RunOptions()).execute()
    assert (run / "result.json").read_bytes() == before


def test_half_a_pool_is_refused(run: Path, made: Path) -> None:
    (run / "pool/sample/sample-3-60-2/warc/sample-00001.warc.gz").unlink()
    with pytest.raises(DataError, match="no such file, although the record"):
        Run(load_recipe(made.parent / "r.yaml"), run, SerialEngine(), RunOptions()).execute()


def test_a_pool_that_was_changed_is_refused(run: Path, made: Path) -> None:
    _replace(run / "pool/sample/sample-3-60-2/warc/sample-00001.warc.gz", _flip)
    with pytest.raises(DataError, match=r"differs from record\.json"):
        Run(load_recipe(made.parent / "r.yaml"), run, SerialEngine(), RunOptions()).execute()


def test_a_classifier_that_was_changed_is_refused(tmp_path: Path) -> None:
    from dclm.core.record import describe_files
    from dclm.curate.pipeline import bind, load_pipeline

    folder = tmp_path / "hq"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"a model")
    write_record(folder, Record(kind="classifier", name="hq", fingerprint="f", config={}, files=describe_files(folder)))
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - fasttext_score: {model: hq, column: quality}\n")
    pipeline = load_pipeline(tmp_path / "p.yaml")
    assert bind(pipeline, {"hq": str(folder / "model.bin")}).hashes["hq"]
    (folder / "model.bin").write_bytes(b"b model")
    with pytest.raises(DataError, match="as in its record"):
        bind(pipeline, {"hq": str(folder / "model.bin")})


def test_documents_of_an_artifact_are_verified_as_a_pool(run: Path, tmp_path: Path) -> None:
    path = run / "documents/sample/documents/00000.parquet"
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(table, path)
    (tmp_path / "p.yaml").write_text("name: again\nsteps:\n  - page_length: {of: word, min: 1}\n")
    with pytest.raises(SystemExit) as ended:
        main(
            ["curate", str(tmp_path / "p.yaml"), "--pool", str(run / "documents/sample"), "--out", str(tmp_path / "o")]
        )
    assert ended.value.code == 3
