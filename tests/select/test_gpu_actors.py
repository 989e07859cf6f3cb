"""Models on the GPUs of a cluster: a pass of their own, in actors that load them once, one GPU each."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from engine_runs import artifact_bytes, run, write_pool
from language_models import WORDS, write_model

from dclm.curate.segments import segments
from dclm.extract.step import Extract
from dclm.filters.rules.length import PageLength
from dclm.select.language_model.ask import AskLanguageModel
from dclm.select.language_model.machine_text import MachineText
from dclm.select.language_model.score import LanguageModelScore
from dclm.select.llm_label.step import LlmLabel
from dclm.select.quantile import Quantile
from dclm.select.semantic.embed import Embed

SCORE = LanguageModelScore(model="hf:m")
LABEL = LlmLabel(model="hf:m", prompt="{text}", cache="c", classes=("a", "b"))
WITH_MODEL = (SCORE, MachineText(model="hf:m"), AskLanguageModel(model="hf:m"), Embed(model="m"), LABEL)


@pytest.mark.parametrize("step", WITH_MODEL, ids=lambda step: step.name)
def test_a_model_begins_a_pass_of_its_own_and_wants_the_clusters_gpus(step: LanguageModelScore) -> None:
    first, second = segments((Extract(), PageLength(of="word", min=1), step, MachineText(model="hf:other")))
    assert ([s.name for s in first.steps], first.tail) == (["extract", "page_length"], None)
    assert (second.first, second.steps[0], second.head) == (2, step, None)
    assert len(segments((step, PageLength(of="word", min=1)))) == 1
    assert second.wants_gpus(2)
    assert not second.wants_gpus(0)
    assert not first.wants_gpus(2)


def test_labels_that_are_replayed_or_asked_of_a_server_need_no_gpu() -> None:
    for more in ({"replay": True}, {"endpoint": "http://127.0.0.1:1/v1"}):
        step = LlmLabel(model="m", prompt="{text}", cache="c", classes=("a", "b"), **more)  # type: ignore[arg-type]
        assert not step.runs_model
        assert not step.wants_gpus(2)


def test_passes_are_those_of_the_global_steps_and_the_models() -> None:
    parts = segments((Extract(), SCORE, Quantile(column="lm_score", keep_top=0.5), SCORE, PageLength(of="word", min=1)))
    assert [[s.name for s in part.steps] for part in parts] == [["extract"], ["lm_score"], ["lm_score", "page_length"]]
    assert [None if part.head is None else part.head.name for part in parts] == [None, None, "quantile"]
    assert [part.first for part in parts] == [0, 1, 3]


ON_GPUS = """
import dataclasses, json, os, pickle, sys, time
from pathlib import Path

import pyarrow as pa
import ray
from engine_runs import run

from dclm.curate.step import Map
from dclm.engine.ray import RayEngine
from dclm.filters.columns import with_columns

work, steps = pickle.loads(Path(sys.argv[1]).read_bytes())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where(Map):
    name = "where"
    on_gpu: bool
    folder: str

    @property
    def runs_model(self):
        return self.on_gpu

    def wants_gpus(self, gpus):
        return self.on_gpu and gpus > 0

    def open(self, context):
        gpus = ray.get_gpu_ids()
        if self.on_gpu:  # each GPU has a process before one of them goes on
            Path(self.folder, f"opened-{os.getpid()}-{time.monotonic_ns()}").touch()
            for _ in range(600):
                if len({p.name.split("-")[1] for p in Path(self.folder).glob("opened-*")}) >= 2:
                    break
                time.sleep(0.1)
        found = f"{sorted(gpus)} {os.environ.get('CUDA_VISIBLE_DEVICES')}" if gpus else "cpu"
        return lambda batch: with_columns(batch, {f"on_gpu_{self.on_gpu}": pa.array([found] * batch.num_rows)})


ray.init(address="local", num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=False)
engine = RayEngine().for_stage("documents")
folder = Path(sys.argv[1]).parent
where = [Where(on_gpu=on, folder=str(folder)) for on in (False, True)]
_, table = run(where, work / "pool", folder / "where", engine=engine)
print(json.dumps({name: sorted(set(table.column(name).to_pylist())) for name in ("on_gpu_False", "on_gpu_True")}))
run(steps, work / "pool", folder / "scored", engine=engine)
assert ray.available_resources().get("GPU") == 2 or time.sleep(5) or ray.available_resources().get("GPU") == 2
engine.close()
ray.shutdown()
"""


@pytest.mark.slow
def test_models_are_loaded_once_on_each_gpu_of_a_cluster(tmp_path: Path) -> None:
    """Ray believes that this machine has two GPUs; torch, which sees none, computes on the CPU: the same bytes."""
    model = write_model(tmp_path / "model", chat=False)
    texts = [" ".join(WORDS[8 + (i * k) % 20] for k in range(3 + i)) for i in range(24)]
    write_pool(tmp_path / "pool", [[{"text": text} for text in texts[i::6]] for i in range(6)])
    steps = [PageLength(of="word", min=5), LanguageModelScore(model=f"hf:{model}", window=16)]
    run(steps, tmp_path / "pool", tmp_path / "calm")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "given.pickle").write_bytes(pickle.dumps((tmp_path, steps)))
    command = [sys.executable, "-c", ON_GPUS, str(tmp_path / "ray" / "given.pickle")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"on_gpu_False": ["cpu"], "on_gpu_True": ["[0] 0", "[1] 1"]}
    assert len(list((tmp_path / "ray").glob("opened-*"))) == 2  # for six shards
    assert artifact_bytes(tmp_path / "ray" / "scored") == artifact_bytes(tmp_path / "calm")
