"""The cost of curation is measured in its units, and a plan extrapolates it to the size of the pool."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dclm.core.errors import ConfigError
from dclm.core.record import Record, read_record, write_record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.cost import Cost, Curation, Meter, cost_lines, measured_cost, parse_size, size_text
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import load_recipe
from dclm.train.scale import find_scale

PIPELINE = """
name: p
steps:
  - page_length: {of: word, min: 3}
  - exact: {of: text}
  - minhash: {bands: 14, rows: 8, verify: 0.5}
"""
RECIPE = """
name: r
data: [{pool: POOL, pipeline: p.yaml}]
scale: tiny
suite: core
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    root = tmp_path / "pool"
    root.mkdir()
    for shard in range(3):
        lines = [{"text": f"document number {n % 40} of shard {shard % 2} has some words"} for n in range(60)]
        (root / f"{shard}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "r.yaml").write_text(RECIPE.replace("POOL", str(root)))
    return root


def run(pool: Path, out: Path, limit: int | None = None, workers: int = 1) -> Record:
    bound = bind(load_pipeline(pool.parent / "p.yaml"), {})
    files = list_files([str(pool)])
    engine = SerialEngine() if workers == 1 else LocalEngine(workers)
    return curate(bound, files, out, CurateOptions(unit_bytes=0, shard_bytes=0, limit=limit), engine)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_record_says_what_its_units_took(pool: Path, tmp_path: Path, workers: int) -> None:
    record = run(pool, tmp_path / "out", workers=workers)
    cost = Cost.of(tmp_path / "out", record)
    assert cost.documents == 180
    assert cost.pool_bytes == sum(p.stat().st_size for p in pool.iterdir())
    assert cost.work_bytes > cost.kept_bytes / 4
    slowest = record.provenance["slowest_unit_cpu_seconds"]
    assert isinstance(slowest, float)
    assert 0 <= slowest <= cost.cpu_seconds


def test_work_bytes_are_the_most_that_was_stored_at_once() -> None:
    meter = Meter()
    first = {"cpu_seconds": 1.5, "files": {"a": [100, "x"]}, "consumed": {"k": [1000, "x"]}}
    second = {"cpu_seconds": 0.25, "files": {"b": [50, "x"]}, "consumed": {"k": [10, "x"]}}
    meter.look([first])
    meter.look([second])
    found = meter.cost([first, second])
    assert found == {"cpu_seconds": 1.75, "slowest_unit_cpu_seconds": 1.5, "work_bytes": 1100}


def test_a_plan_goes_by_what_a_part_of_the_pool_took(pool: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    record = run(pool, part)
    provenance = {**record.provenance, "cpu_seconds": 36.0, "work_bytes": 4_000_000}
    write_record(part, Record(**{**vars(record), "provenance": provenance}))
    curation = Curation(measured=(part,), pool_bytes=parse_size("1GB"), cores=100, price=0.05)
    lines = "\n".join(plan_lines(load_recipe(tmp_path / "r.yaml"), curation=curation))
    cost = measured_cost(part)
    hours = 36.0 * 1e9 / cost.pool_bytes / 3600
    assert f"1 GB: {hours:,.0f} core-hours, {hours / 100:.3g} h on 100 cores, cost {hours * 0.05:,.2f}" in lines
    assert "measured 5 documents/s" in lines
    shutil.copyfile(pool / "0.jsonl", pool / "3.jsonl")  # the recipe's own files, if no size is given
    lines = "\n".join(plan_lines(load_recipe(tmp_path / "r.yaml"), curation=Curation(measured=(part,))))
    assert f"{36.0 * sum(p.stat().st_size for p in pool.iterdir()) / cost.pool_bytes / 3600:.3g} core-hours" in lines


def test_what_says_nothing_of_a_whole_pool_is_refused(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "limited", limit=9)
    with pytest.raises(ConfigError, match="no whole file was read"):
        measured_cost(tmp_path / "limited")
    run(pool, tmp_path / "out")
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("min: 3", "min: 4"))
    with pytest.raises(ConfigError, match="with different steps than those of p"):
        list(plan_lines(load_recipe(tmp_path / "r.yaml"), curation=Curation(measured=(tmp_path / "out",))))


def test_without_a_measurement_the_plan_estimates_by_the_rate_of_a_benchmark(pool: Path, tmp_path: Path) -> None:
    lines = "\n".join(plan_lines(load_recipe(tmp_path / "r.yaml"), curation=Curation(pool_bytes=10**12, cores=10)))
    hours = 1e12 / 4000 / 1567 / 3600
    assert f"time     estimate for 1 TB: about {hours:.3g} core-hours, {hours / 10:.3g} h on 10 cores" in lines
    assert "--measured gives the real rate" in lines
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("steps:", "steps:\n  - extract"))
    lines = "\n".join(plan_lines(load_recipe(tmp_path / "r.yaml"), curation=Curation(pool_bytes=10**12)))
    assert f"about {1e12 / 24_600 / 250 / 3600:.3g} core-hours" in lines


def test_a_plan_says_what_the_run_takes_on_disk(pool: Path, tmp_path: Path) -> None:
    scale = find_scale("tiny")
    tokens = 2 * scale.num_sequences * (scale.model.seq_len + 1)
    (line,) = (line for line in plan_lines(load_recipe(tmp_path / "r.yaml")) if line.startswith("disk"))
    assert line.startswith(f"disk       at least {size_text(tokens)} of tokens, at most ")


def test_a_pool_that_is_not_here_is_named(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("POOL", "[gone/*.jsonl, 's3://bucket/far']"))
    lines = list(plan_lines(load_recipe(tmp_path / "r.yaml")))
    (line,) = (line for line in lines if "for the pool" in line)
    assert line.startswith(f"missing    {tmp_path}/gone/*.jsonl for the pool ")
    assert any("time     unknown: pass --pool-size" in line for line in lines)


def test_costs_grow_with_the_pool() -> None:
    cost = Cost(
        artifact=Path("a"), pool_bytes=10**9, documents=10**5, cpu_seconds=360, work_bytes=3 * 10**8, kept_bytes=10**8
    )
    assert list(cost_lines(cost, 10**15, Curation(cores=1000))) == [
        "measured 278 documents/s, 2.78 MB/s per core (a: 1 GB in 360 CPU seconds)",
        "time     1 PB: 100,000 core-hours, 100 h on 1,000 cores",
        "disk     100 TB at the end, at most 400 TB while it runs",
    ]


@pytest.mark.parametrize(
    ("text", "size"), [("340TB", 340 * 10**12), ("1.5 gb", 1_500_000_000), ("7", 7), ("12K", 12_000), ("2 B", 2)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-3", "3 XB", "1e3"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: bytes"):
        parse_size(text)


def test_the_artifact_of_a_plan_must_be_documents(tmp_path: Path, pool: Path) -> None:
    run(pool, tmp_path / "out")
    record = read_record(tmp_path / "out")
    write_record(tmp_path / "out", Record(**{**vars(record), "kind": "tokens"}))
    with pytest.raises(ConfigError, match="found an artifact of kind tokens"):
        measured_cost(tmp_path / "out")
