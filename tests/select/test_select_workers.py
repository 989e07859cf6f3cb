"""Every step that selects with models: the same bytes in one process, in four workers, on Ray, and after kills."""

from __future__ import annotations

import json
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import artifact_bytes, run, write_pool
from language_models import WORDS, write_model
from safetensors.numpy import save_file

from dclm.core.stages.engine import SerialEngine
from dclm.curate.step import Step
from dclm.engine.local import LocalEngine
from dclm.select.classifier.spec import TextSource
from dclm.select.hosts.step import HostRank
from dclm.select.language_model.ask import AskLanguageModel
from dclm.select.language_model.machine_text import MachineText
from dclm.select.language_model.score import LanguageModelScore
from dclm.select.llm_label.step import LlmLabel
from dclm.select.ngram.kneser_ney import estimate, write_arpa
from dclm.select.ngram.score import KenlmScore
from dclm.select.quantile import Quantile
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.head import EmbeddingClassifier, HeadSpec, train_head
from dclm.select.semantic.semdedup import SemDedup

DRAW = random.Random(11)
TEXTS = [" ".join(DRAW.choices(WORDS[8:], k=DRAW.randint(2, 30))) for _ in range(40)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models of every kind, and a pool of four files."""
    pytest.importorskip("kenlm")
    work = tmp_path_factory.mktemp("made")
    model = write_model(work / "model", chat=True)
    write_arpa(estimate([text.split() for text in TEXTS], 3), work / "model.arpa")
    (work / "ranks.txt").write_text("#pr_val\t#host_rev\n0.5\torg.site1\n0.25\torg.site3\n")
    encoder = work / "encoder"
    encoder.mkdir()
    (encoder / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    (encoder / "config.json").write_text("{}")
    table = np.random.default_rng(0).standard_normal((len(WORDS) + 3, 8)).astype(np.float32)
    save_file({"embeddings": table}, encoder / "model.safetensors")
    classes = {}
    for name, some in (("hq", TEXTS[:20]), ("cc", TEXTS[20:])):
        (work / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
        classes[name] = (TextSource(path=str(work / f"{name}.jsonl")),)
    train_head(HeadSpec(encoder=str(encoder), classes=classes), work / "head")
    write_pool(work / "pool", [[{"text": text} for text in TEXTS[i::4]] for i in range(4)])
    return work


def steps_of(made: Path, cache: Path) -> dict[str, tuple[Step, ...]]:
    """Name of a step → a pipeline that ends with it. `cache`: where answers of the model are kept."""
    model, embed = f"hf:{made / 'model'}", Embed(model=str(made / "encoder"))
    kenlm = KenlmScore(model=str(made / "model.arpa"), normalize=False)
    question = "good ? {text} ###"
    return {
        "lm_score": (LanguageModelScore(model=model, metric="topk_mass", window=16),),
        "machine_text": (MachineText(model=model),),
        "ask_llm": (AskLanguageModel(model=model, prompt=question, against=("No", "no")),),
        "llm_label": (LlmLabel(model=model, prompt=question, classes=("good", "w1", "w2"), cache=str(cache),
                               answer_tokens=3, answer_column="answer"),),
        "kenlm_score": (kenlm,),
        "host_rank": (HostRank(ranks=str(made / "ranks.txt")),),
        "embed": (embed,),
        "embedding_classifier": (embed, EmbeddingClassifier(model=str(made / "head" / "head.json"))),
        "semdedup": (embed, SemDedup(clusters=3, keep_fraction=0.8)),
        "quantile": (kenlm, Quantile(column="kenlm_perplexity", keep_top=0.5)),
    }  # fmt: skip


NAMES = tuple(steps_of(Path(), Path()))


def all_steps(made: Path, cache: Path) -> list[Step]:
    """One pipeline with every step."""
    found: list[Step] = []
    for steps in steps_of(made, cache).values():
        found += [step for step in steps if step not in found]
    return found


class Dies(Exception):
    """What ends a run that is killed."""


class Mortal(SerialEngine):
    """Dies after so many units of a run, counted over all of its stages."""

    def __init__(self, units: int) -> None:
        self.left = units

    def map(
        self, function: Callable[[Any], Any], units: Iterable[Any], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for found in super().map(function, units):
            if not self.left:
                raise Dies
            self.left -= 1
            yield found


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_dies_again_and_again_gives_the_same_bytes(made: Path, tmp_path: Path, name: str) -> None:
    _, table = run(steps_of(made, tmp_path / "cache")[name], made / "pool", tmp_path / "calm")
    assert table.num_rows == {"semdedup": 32, "quantile": 20}.get(name, 40)
    deaths = 0
    steps = steps_of(made, tmp_path / "other")[name]
    while True:
        try:
            run(steps, made / "pool", tmp_path / "killed", engine=Mortal(1 + 3 * deaths))
        except Dies:
            deaths += 1
            continue
        break
    assert deaths >= 2
    assert artifact_bytes(tmp_path / "killed") == artifact_bytes(tmp_path / "calm")


@pytest.mark.slow
def test_four_workers_some_of_them_killed_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    run(all_steps(made, tmp_path / "one"), made / "pool", tmp_path / "calm")
    killed: list[int] = []
    done = threading.Event()

    def kill_some() -> None:
        while not done.wait(0.2) and len(killed) < 2:
            workers = [child for child in active_children() if child.pid not in killed]
            if len(list((tmp_path / "killed" / ".work").rglob("*.parquet"))) > 3 * len(killed) and workers:
                workers[0].kill()
                killed.append(workers[0].pid or 0)

    thread = threading.Thread(target=kill_some)
    thread.start()
    try:
        run(all_steps(made, tmp_path / "four"), made / "pool", tmp_path / "killed", engine=LocalEngine(4))
    finally:
        done.set()
        thread.join()
    assert killed
    assert artifact_bytes(tmp_path / "killed") == artifact_bytes(tmp_path / "calm")


_ON_RAY = """
import pickle, sys
from pathlib import Path
from engine_runs import run
from dclm.engine.ray import RayEngine

steps, pool, out = pickle.loads(Path(sys.argv[1]).read_bytes())
engine = RayEngine(workers=2)
run(steps, pool, out, engine=engine)
engine.close()
"""


@pytest.mark.slow
def test_ray_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    run(all_steps(made, tmp_path / "one"), made / "pool", tmp_path / "calm")
    given = (all_steps(made, tmp_path / "ray"), made / "pool", tmp_path / "on-ray")
    (tmp_path / "given.pickle").write_bytes(pickle.dumps(given))
    command = [sys.executable, "-c", _ON_RAY, str(tmp_path / "given.pickle")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert artifact_bytes(tmp_path / "on-ray") == artifact_bytes(tmp_path / "calm")


@pytest.mark.slow
def test_a_driver_that_is_killed_continues_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    run(all_steps(made, tmp_path / "one"), made / "pool", tmp_path / "calm")
    given = (all_steps(made, tmp_path / "killed-cache"), made / "pool", tmp_path / "killed")
    (tmp_path / "given.pickle").write_bytes(pickle.dumps(given))
    code = _ON_RAY.replace("from dclm.engine.ray import RayEngine", "from dclm.core.stages.engine import SerialEngine")
    code = code.replace("RayEngine(workers=2)", "SerialEngine()").replace("engine.close()", "")
    command = [sys.executable, "-c", code, str(tmp_path / "given.pickle")]
    journal = tmp_path / "killed" / ".work" / "journal"
    for units in (1, 6):
        process = subprocess.Popen(command, cwd=Path(__file__).parent)
        while process.poll() is None:
            lines = sum(path.read_bytes().count(b"\n") - 1 for path in journal.glob("*.jsonl"))
            if lines >= units:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.005)
        assert process.returncode == -signal.SIGKILL
    assert subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode == 0
    assert artifact_bytes(tmp_path / "killed") == artifact_bytes(tmp_path / "calm")
