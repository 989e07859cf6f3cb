"""A recipe from a generated crawl to a result that the board accepts, and queries on its artifacts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dclm.board.validate import validate
from dclm.cli.main import main
from dclm.core.record import read_record
from dclm.core.stages.engine import SerialEngine
from dclm.documents.artifact import Artifact
from dclm.documents.samples import dropped_samples
from dclm.documents.why import fates
from dclm.engine.local import LocalEngine
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import load_recipe
from dclm.recipe.run import Run, RunOptions

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = """
name: small
seed: 3
data:
  - name: sample
    pool: {sample: {seed: 3, documents: 160, files: 2}}
    pipeline: p.yaml
classifiers:
  hq:
    positives: [{path: "pool:sample/quality_positive.jsonl.gz"}]
    negatives: [{path: "pool:sample/quality_negative.jsonl.gz"}]
    dim: 4
    bucket: 1000
validation: "pool:sample/validation.jsonl.gz"
scale: tiny
tokens: 40960
tasks: [copa]
limit: 5
contamination: true
allow_incomplete: true
"""
PIPELINE = """
name: p
steps:
  - extract: {with: resiliparse}
  - language: {keep: [en], min_score: 0.65}
  - page_length: {of: word, min: 50}
  - exact: {of: text}
  - fasttext_score: {model: hq, column: quality}
  - quantile: {column: quality, keep_top: 0.8}
"""

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run."""
    root = tmp_path_factory.mktemp("run")
    (root / "p.yaml").write_text(PIPELINE, encoding="utf-8")
    (root / "r.yaml").write_text(RECIPE, encoding="utf-8")
    Run(load_recipe(root / "r.yaml"), root / "out", SerialEngine(), RunOptions()).execute()
    return root


def test_the_result_is_one_that_the_board_takes(run: Path) -> None:
    path = run / "out" / "result.json"
    result = validate(path.read_bytes(), str(path))
    assert result.core_v2 is None
    assert len(result.missing) == 52
    assert result.limited == 5
    assert result.scores["copa"].clean_n == 5  # none of its items occurs in the generated crawl
    assert result.scores["copa"].clean_score == result.scores["copa"].score
    assert (run / "out" / "scores" / "scores.svg").read_bytes().startswith(b"<?xml")
    assert [link.kind for link in result.chain] == ["classifier", "documents", "tokens", "checkpoint", "scores"]
    assert result.incomplete
    assert any("40960" in d or "tokens instead" in d for d in result.training.deviations)


def test_the_model_has_learned_from_the_documents(run: Path) -> None:
    counts = read_record(run / "out" / "train").counts
    assert counts["validation_loss"] < 10.8  # ln 50,432: the loss of a model without any knowledge
    assert (run / "out" / "train" / "loss.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_running_again_changes_no_file(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (run / "out").rglob("*") if p.is_file() and p.name != "result.json"}
    content = json.loads((run / "out" / "result.json").read_text(encoding="utf-8"))
    Run(load_recipe(run / "r.yaml"), run / "out", LocalEngine(2), RunOptions()).execute()
    assert {p: p.stat().st_mtime_ns for p in before} == before
    again = json.loads((run / "out" / "result.json").read_text(encoding="utf-8"))
    assert {k: v for k, v in again.items() if k != "provenance"} == {
        k: v for k, v in content.items() if k != "provenance"
    }


def test_another_place_gives_the_same_fingerprints(run: Path, tmp_path: Path) -> None:
    for name in ("p.yaml", "r.yaml"):
        shutil.copy(run / name, tmp_path / name)
    Run(load_recipe(tmp_path / "r.yaml"), tmp_path / "o", LocalEngine(2), RunOptions(until="tokenize")).execute()
    for name in ("classifiers/hq", "documents/sample", "tokens", "validation"):
        one, other = read_record(run / "out" / name), read_record(tmp_path / "o" / name)
        assert one.fingerprint == other.fingerprint
        assert [(f.path, f.sha256) for f in one.files] == [(f.path, f.sha256) for f in other.files]


def test_why_and_show_tell_what_became_of_documents(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = run / "out" / "documents" / "sample"
    record = read_record(artifact)
    rows = Artifact(artifact).steps
    assert rows[0].documents_in == 160
    assert rows[-1].documents_out == record.counts["kept"]
    names = {row.index: row.name for row in rows}
    assert {names[index] for index in dropped_samples(Artifact(artifact))} >= {"language", "page_length", "quantile"}
    ledger = pq.read_table(artifact / "ledger" / "00000.parquet").to_pylist()
    for outcome in ("kept", "dropped by language", "rejected by extract: not UTF-8"):
        step = None if outcome == "kept" else outcome.split()[2].rstrip(":")
        row = next(r for r in ledger if r["step"] == step and (step != "extract" or r["reason"] == "not UTF-8"))
        assert outcome in {fate.outcome for fate in fates(artifact, row["id"])}
        main(["why", row["url"], "--in", str(artifact)])
        assert outcome in capsys.readouterr().out
    main(["show", str(artifact), "--no-samples"])
    assert "page_length" in capsys.readouterr().out


def test_documents_with_truth_high_are_mostly_kept_and_spam_is_not(run: Path) -> None:
    pool = next((run / "out" / "pool" / "sample").glob("*/truth.parquet"))
    quality = {r["id"]: r["quality"] for r in pq.read_table(pool, columns=["id", "quality"]).to_pylist()}
    kept = [
        quality.get(i)
        for p in sorted((run / "out" / "documents" / "sample" / "documents").iterdir())
        for i in pq.read_table(p, columns=["id"]).column(0).to_pylist()
    ]
    assert kept.count("high") > 0.6 * list(quality.values()).count("high")
    assert kept.count("high") > 4 * kept.count("spam")


@pytest.mark.parametrize(
    "recipe", sorted(p.name for p in (ROOT / "recipes").glob("*.yaml") if "\ndata:" in p.read_text())
)
def test_every_shipped_recipe_can_be_planned(recipe: str) -> None:
    lines = list(plan_lines(load_recipe(ROOT / "recipes" / recipe)))
    assert any(line.startswith("result") for line in lines)
    assert lines[-1].startswith("disk")
