"""The sample crawl through real steps: good pages survive and others do not, according to the table of truth."""

from __future__ import annotations

import collections

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.core.stages.engine import SerialEngine
from dclm.core.stages.progress import NullProgress
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample

PIPELINE = """
name: heuristics
steps:
  - extract: {with: resiliparse}
  - page_length: {of: word, min: 50, max: 100000, ignore_punctuation: true}
  - word_length: {min: 3, max: 10}
  - symbol_ratio: {max: 0.1}
  - bullet_lines: {max_fraction: 0.9}
  - stop_words: {min_count: 2}
  - repetition
  - exact: {of: text}
  - minhash: {ngram: 5, bands: 14, rows: 8, seed: 1, verify: 0.7}
"""


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The table of truth, and for each page the step that dropped it (null: kept)."""
    root = tmp_path_factory.mktemp("curated")
    pool = make_sample(root / "pool", documents=300, files=2)
    (root / "pipeline.yaml").write_text(PIPELINE)
    bound = bind(load_pipeline(root / "pipeline.yaml"), {})
    curate(
        bound,
        list_files([str(pool / "warc")]),
        root / "out",
        CurateOptions(unit_bytes=0, shard_bytes=0),
        SerialEngine(),
        NullProgress(),
    )
    ledger = pa.concat_tables([pq.read_table(path) for path in sorted((root / "out" / "ledger").iterdir())])
    steps = dict(zip(ledger["id"].to_pylist(), ledger["step"].to_pylist(), strict=True))
    return [{**row, "step": steps[row["id"]]} for row in pq.read_table(pool / "truth.parquet").to_pylist()]


@pytest.mark.slow
def test_good_english_survives_and_the_rest_does_not(fates: list[dict[str, object]]) -> None:
    kept: dict[str, list[bool]] = collections.defaultdict(list)
    for row in fates:
        if row["language"] == "en" and row["duplicate_cluster"] is None:
            kept[str(row["quality"])].append(row["step"] is None)
    share = {quality: sum(values) / len(values) for quality, values in kept.items()}
    assert share["high"] > 0.93, share
    assert share["low"] > 0.93, share
    assert share["boilerplate"] < 0.05, share
    assert share["spam"] < 0.25, share


@pytest.mark.slow
def test_one_page_of_each_duplicate_cluster_survives(fates: list[dict[str, object]]) -> None:
    clusters: dict[object, list[dict[str, object]]] = collections.defaultdict(list)
    for row in fates:
        if row["duplicate_cluster"] is not None:
            clusters[row["duplicate_cluster"]].append(row)
    exact = [rows for rows in clusters.values() if "exact" in {row["duplicate_kind"] for row in rows}]
    assert {sum(row["step"] is None for row in rows) for rows in exact} <= {0, 1}
    survivors = [sum(row["step"] is None for row in rows) for rows in clusters.values()]
    assert 0.85 < sum(survivors) / len(survivors) < 1.25  # short near duplicates may be below the threshold


@pytest.mark.slow
def test_every_page_of_another_encoding_is_a_reject(fates: list[dict[str, object]]) -> None:
    steps = {row["step"] for row in fates if row["encoding"] != "utf-8"}
    assert steps == {"extract"}
