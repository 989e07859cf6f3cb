"""Workers, nodes and drivers of a Ray run on three simulated nodes are killed: the same bytes come out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from engine_kills import Run, run_with_kills, three_nodes
from test_engine_kill import calm_run


@pytest.mark.slow
def test_kills_on_three_nodes_change_no_byte(tmp_path: Path) -> None:
    """`python -m tests.bench.bench_kills` does the same 50 times."""
    calm = calm_run(tmp_path)
    hurt = Run(pipeline=calm.pipeline, pool=calm.pool, out=tmp_path / "hurt")
    with three_nodes() as nodes:
        killed = run_with_kills(hurt, nodes, random.Random(1), most=3, stride=60)
    assert len(killed) == 3
    assert hurt.files() == calm.files()
