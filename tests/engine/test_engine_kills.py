"""Workers, nodes and drivers of a Ray run on three simulated nodes are killed: the same bytes come out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from engine_kills import Run, run_with_kills, three_nodes
from engine_steps import write_pool

from dclm.parallel import Serial
from dclm.pipeline import bind, load_pipeline
from dclm.pool.files import list_files
from dclm.stages.curate import CurateOptions, curate

PIPELINE = """
name: kills
steps:
  - exact: {of: text}
  - minhash: {ngram: 2, bands: 9, rows: 3, verify: 0.5, links_in_memory: 1}
  - random_sampling: {keep_fraction: 0.7}
"""


@pytest.mark.slow
def test_kills_on_three_nodes_change_no_byte(tmp_path: Path) -> None:
    """`python -m tests.bench.bench_kills` does the same 50 times, with every kind of step."""
    pipeline = tmp_path / "kills.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    draw = random.Random(0)
    pool = write_pool(tmp_path / "pool", [[" ".join(draw.choices("abcdef", k=9)) for _ in range(60)] for _ in range(3)])
    calm = Run(pipeline=pipeline, pool=pool, out=tmp_path / "calm")
    record = curate(bind(load_pipeline(pipeline)), list_files([str(pool)]), calm.out, CurateOptions(seed=7), Serial())
    assert record.counts["kept"] != record.counts["read"]
    hurt = Run(pipeline=pipeline, pool=pool, out=tmp_path / "hurt")
    with three_nodes() as nodes:
        killed = run_with_kills(hurt, nodes, random.Random(1), most=3, stride=20)
    assert len(killed) == 3
    assert hurt.files() == calm.files()
