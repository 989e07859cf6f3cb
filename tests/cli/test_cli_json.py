"""Every command with `--json`: one document with the fields that answers.yaml describes, never lines of text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

import dclm.board.serving.store
import dclm.cli.assets
import dclm.cli.board
import dclm.cli.cluster
import dclm.cli.reference.docs
import dclm.report.extraction
from dclm.board.result import write_result
from dclm.cli.main import main
from dclm.cli.shared.answers import Answer, answers
from dclm.engine import jobs
from dclm.extract.quality import Quality
from dclm.pool.commoncrawl import CommonCrawl
from dclm.pool.files import list_files
from dclm.science.experiment import report as experiment_report
from dclm.science.experiment import run as experiment_run
from dclm.science.experiment import spec as experiment_spec
from dclm.science.mix import proxies, swarm
from dclm.science.predict import backtest as backtests
from dclm.science.predict import forecast as forecasts
from dclm.science.predict import records
from tests.board.conftest import build_result
from tests.cli.test_cli_common import COMMANDS
from tests.report.test_report_duplicates import NEAR
from tests.report.test_report_duplicates import make as curated
from tests.report.test_report_duplicates import write as write_near

ROOT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]

CALLS = """
pool sample --out pool --documents 12 --files 1
pool list pool
pool check pool/warc
pool commoncrawl CC-MAIN-2022-05 --warcs 1
plan r.yaml --out nothing
curate p.yaml --pool p.jsonl --out d
run r.yaml --out run --workers 1
show d --no-samples --tokenizer none
why d1 --in d
report d --out report.html --tokenizer none
verify d
ablate p.yaml --pool p.jsonl --workers 1
tokenize d --out t --tokenizer bytes.json --seq-len 64 --workers 1
tokens export t --out wds --workers 1
tokens import wds --out t2 --seq-len 64 --vocab-size 512 --workers 1
train run/tokens --scale bytes-74k --tokens 20480 --epochs 99 --seed 1 --out train
evaluate train --tasks copa --limit 2 --out scores --workers 1
aggregate run/scores/scores.json
compare run/scores scores
noise a=run/scores,scores
contamination d --tasks copa
model export run/train --to openlm --out m.pt
model import m.pt --out m --seq-len 256 --tokenizer bytes.json
model average run/train train --out averaged
model train-ngram n.yaml --out ngram
classifier train c.yaml --out classifier
score classifier labels.jsonl
convert-pipeline theirs.yaml
dedup bands 0.8 --permutations 128 --ratio 4
dedup clusters near
dedup show near 0
dedup report near --out near.html
dedup index d --step exact --out index --workers 1
dedup items --tasks copa --out items.jsonl
publish documents d --to hub/d
publish tokens t --to hub/t
publish model run/train --to hub/m
publish result run --to hub/r
board check result.json
board upload result.json --to board
board table board
board site board --out site
board convert result.json --out theirs.json
board published published.csv --out known.json
board token add me --db board.sqlite
board token list --db board.sqlite
board audit --db board.sqlite
board token revoke me --db board.sqlite
board remove ID --from board.sqlite --reason wrong
board serve --db board.sqlite
assets list
assets check
assets fetch gpt-neox-20b
docs reference
bench extract
mix fit --mixtures m.csv --losses l.csv --target x --predict new.csv --out fitted.csv --resamples 2
mix best --mixtures m.csv --losses l.csv --target x
mix swarm swarm.yaml --out swarm
experiment e.yaml --out experiment
scaling --points points.json --baseline raw
predict --from 1b --to 7b
cluster up
cluster status
cluster down
submit r.yaml --out /shared/out
jobs list
jobs logs 1
jobs stop 1
""".strip().splitlines()
OTHER_CALLS = [
    "show run --no-samples --tokenizer none",
    "evaluate --audit --tasks copa",
    "predict --from 1b --to 7b --backtest",
    "score classifier labels.jsonl --curve",
    "score run/documents/s --column score",
    "run r.yaml --out run --until curate --workers 1",
    "jobs logs 1 --follow",
    "submit r.yaml --out /shared/out --no-follow",
    "mix swarm swarm.yaml --out swarm --propose-only",
    "publish documents d --to hub/w --as warc",
]
"""The other forms of their answers. Calls depend on those before them."""


VERDICTS = {"verify": {0}, "jobs logs": {None, 0}, "submit": {0}, "pool check": {3}}
"""Exit codes of commands that end with one; the readers disagree about a digest in the sample."""


def command_of(call: str) -> str:
    """The command that a line calls."""
    return max((" ".join(path) for path in COMMANDS if call.startswith(" ".join(path))), key=len)


def test_every_command_is_called_and_described() -> None:
    assert {command_of(call) for call in CALLS} == {" ".join(path) for path in COMMANDS}
    assert answers().keys() == {" ".join(path) for path in COMMANDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    rows = [
        {"id": f"d{n}", "text": f"Document {n} has a few plain words. " * (5 + n % 7), "score": n / 40}
        for n in range(40)
    ]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "labels.jsonl").write_text(
        "".join(json.dumps({"text": row["text"], "label": n % 2}) + "\n" for n, row in enumerate(rows))
    )
    (folder / "p.yaml").write_text("name: p\nsteps: [{page_length: {of: word, min: 5}}, exact]\n")
    shutil.copy(ROOT / "recipes" / "experiments" / "bytes.json", folder)
    (folder / "r.yaml").write_text(
        "name: r\ndata: [{name: s, pool: {jsonl: p.jsonl, keep: [score]}, pipeline: p.yaml}]\nscale: bytes-74k\n"
        "tokens: 20480\nepochs: 99\ntokenizer: bytes.json\ntasks: [copa]\nlimit: 2\n"
    )
    (folder / "n.yaml").write_text("texts: [{path: p.jsonl}]\norder: 2\n")
    (folder / "c.yaml").write_text(
        "positives: [{path: p.jsonl}]\nnegatives: [{path: labels.jsonl}]\ndim: 4\nbucket: 100\n"
    )
    (folder / "theirs.yaml").write_text("- source: cc\n  steps:\n  - func: word_length_filter\n    min_length: 3\n")
    write_result(folder / "result.json", build_result())
    (folder / "published.csv").touch()
    curated(write_near(folder / "of_near"), folder / "near", NEAR)
    weights = [[n / 24, 1 - n / 24] for n in range(24)]
    (folder / "m.csv").write_text("run,a,b\n" + "".join(f"{n},{a},{b}\n" for n, (a, b) in enumerate(weights)))
    (folder / "l.csv").write_text(
        "run,x\n" + "".join(f"{n},{2 + a * a + 0.01 * (n % 3)}\n" for n, (a, _) in enumerate(weights))
    )
    (folder / "new.csv").write_text("run,a,b\np,0.5,0.5\n")
    points = [
        {"recipe": name, "parameters": n, "tokens": 20 * n, "seed": seed, "learning_rate": 1.0, "weight_decay": 1.0,
         "bits_per_byte": worse * 5 * (120.0 * n * n) ** -0.05 * (1 + 0.001 * seed)}
        for name, worse in (("raw", 1.1), ("clean", 1.0)) for n in (1000, 4000, 16000) for seed in (1, 2)
    ]  # fmt: skip
    (folder / "points.json").write_text(json.dumps({"points": points}))
    return folder


@pytest.fixture
def stubs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the network, clusters, servers and hours of training."""
    give: Callable[[Any], Callable[..., Any]] = lambda value: lambda *_, **__: value  # noqa: E731
    job = jobs.ClusterJob("1", "RUNNING", None, None, "dclm run")
    point = experiment_run.Point(
        recipe="r", scale="s", seed=1, parameters=2, tokens=3, bits_per_byte=1.5, train_loss=2.5, repeated=0.0,
        fingerprint="f",
    )  # fmt: skip
    standing = forecasts.Forecast(small="1b", large="7b", order=(), pairs=(), next_runs=())
    tested = backtests.Backtest(
        pairs=(), corpora=0, accuracy=0.5, accuracy_interval=(0.0, 1.0), brier=0.25, brier_interval=(0.0, 1.0), bins=(),
    )  # fmt: skip
    loaded = SimpleNamespace(
        sources=("a", "b"), held_out={"x": "x.jsonl"}, experiment=None, swarm=SimpleNamespace(tasks=())
    )

    def forward(*given: Any, write: Any = None, **_: object) -> int:
        (write or given[-1])("a line\n")
        return 0

    for module, name, value in (
        (CommonCrawl, "files", lambda self: list_files([str(folder / "p.jsonl")])),
        (dclm.cli.assets, "find_asset", give(SimpleNamespace(path="there", source="cache"))),
        (dclm.cli.reference.docs, "pages", give({"a.md": "text"})),
        (dclm.report.extraction, "compare_extractors", give([Quality("e", 1, 1.0, 1.0, 1.0, None, None, 5.0, 1.0)])),
        (dclm.cli.board, "make_published", give(b"[]")),
        (dclm.board.serving.store.ResultStore, "remove", give(None)),
        (uvicorn.Server, "run", lambda self: None),
        (dclm.cli.cluster, "cluster_up", give(SimpleNamespace(address="http://h:1"))),
        (dclm.cli.cluster, "cluster_status", give(SimpleNamespace(address="http://h:1"))),
        (dclm.cli.cluster, "cluster_down", give(True)),
        (jobs, "submit", forward),
        (jobs, "follow_job", forward),
        (jobs, "list_jobs", give([job])),
        (jobs, "job_logs", give("a line\n")),
        (jobs, "stop_job", give(True)),
        (experiment_spec, "load_experiment", give(loaded)),
        (experiment_run, "run_experiment", give(experiment_run.ExperimentOutcome(points=(point,), overlaps={}))),
        (experiment_report, "write_report", give("report.md")),
        (swarm, "load_swarm", give(loaded)),
        (proxies, "train_swarm", give({})),
        (proxies, "write_mixtures", give({"1": {}})),
        (records, "find_published", give(Path("records.csv"))),
        (records, "read_table", give([])),
        (forecasts, "forecast", give(standing)),
        (backtests, "backtest", give(tested)),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.chdir(folder)


def problem(call: str, capsys: Capture) -> str | None:
    """What is wrong with the answer to a call; None: nothing."""
    capsys.readouterr()
    code = None
    try:
        main([*call.split(), "--json"])
    except (SystemExit, AssertionError) as ended:
        code = ended.code if isinstance(ended, SystemExit) else str(ended)
    printed = capsys.readouterr()
    if code not in VERDICTS.get(command_of(call), {None}):
        return f"{code}, {printed.err}"
    document = json.loads(printed.out)
    if any(each.fits(document) for each in answers()[command_of(call)]):
        return None
    return f"not as described: {printed.out[:300]}"


@pytest.mark.slow
@pytest.mark.usefixtures("stubs")
def test_every_command_answers_as_described(capsys: Capture) -> None:
    problems = {call: found for call in [*CALLS, *OTHER_CALLS] if (found := problem(call, capsys)) is not None}
    assert not problems, "\n".join(f"dclm {call}: {found}" for call, found in problems.items())


def test_a_document_with_other_fields_does_not_fit() -> None:
    answer = Answer(fields={"a": "…", "b": "…"})
    assert answer.fits({"a": 1, "b": None})
    assert not any(map(answer.fits, ({"lines": []}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, [{"a": 1, "b": 2}], "a")))
    assert Answer(fields={"a": "…", "{more}": "…"}).fits({"a": 1, "c": 3})
    assert Answer(fields={"a": "…"}, each="row").fits([{"a": 1}, {"a": 2}])
