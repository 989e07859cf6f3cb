"""Workers, nodes and drivers of a Ray run on three simulated nodes are killed: the same bytes come out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from engine_kills import PIPELINE, Run, run_with_kills, three_nodes

from dclm.parallel import Serial
from dclm.pipeline import bind, load_pipeline
from dclm.pool.files import list_files
from dclm.pool.sample import make_sample
from dclm.stages.curate import CurateOptions, curate


@pytest.mark.slow
def test_kills_on_three_nodes_change_no_byte(tmp_path: Path) -> None:
    pipeline = tmp_path / "kills.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    pool = make_sample(tmp_path / "pool", seed=3, documents=60, files=3)
    calm = Run(pipeline=pipeline, pool=pool, out=tmp_path / "calm")
    curate(bind(load_pipeline(pipeline)), list_files([str(pool)]), calm.out, CurateOptions(seed=7), Serial())
    hurt = Run(pipeline=pipeline, pool=pool, out=tmp_path / "hurt")
    with three_nodes() as nodes:
        killed = run_with_kills(hurt, nodes, random.Random(1), most=3, stride=20)
    assert len(killed) == 3
    assert hurt.files() == calm.files()
