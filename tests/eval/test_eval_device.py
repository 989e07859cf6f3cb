"""`auto` is resolved where the units run, not where the command was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dclm.core.stages.engine import SerialEngine
from dclm.eval.run.stage import evaluate


class Cluster(SerialEngine):
    """An engine whose nodes have GPUs, unlike this machine."""

    def __init__(self, gpus: int) -> None:
        self.gpus = gpus
        self.seen: list[tuple[str, bool]] = []

    def map(self, function: Any, units: Any, *, one_gpu_each: bool = False) -> Any:
        for unit in units:
            self.seen.append((unit.setup.settings.device, one_gpu_each))
            raise InterruptedError
        yield from ()


@pytest.mark.parametrize(("gpus", "device"), [(2, "cuda"), (0, "cpu")])
def test_an_evaluation_runs_on_the_gpus_of_the_cluster(
    gpus: int, device: str, model: str, tasks: Path, tmp_path: Path
) -> None:
    engine, said = Cluster(gpus), list[str]()
    with pytest.raises(InterruptedError):
        evaluate(model, tmp_path / "scores", tasks=("choose",), folder=tasks, engine=engine, say=said.append)
    assert engine.seen == [(device, device == "cuda")]
    assert any("no node of the cluster has a GPU" in line for line in said) == (gpus == 0)
