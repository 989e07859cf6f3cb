"""A grid on a generated crawl from file to report; finished work is reused; wrong files are reported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError, DataError
from dclm.core.stages.engine import SerialEngine
from dclm.science.experiment.held_out import overlap, write_held_out
from dclm.science.experiment.repeats import repeated_share
from dclm.science.experiment.report import write_report
from dclm.science.experiment.run import ExperimentOutcome, Point, run_experiment
from dclm.science.experiment.spec import Cell, Experiment, HeldOut, load_experiment
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.tokens.tokenizer import decode, encode
from dclm.train.scale import find_scale

ROOT = Path(__file__).resolve().parent.parent.parent
BYTES = ROOT / "recipes" / "experiments" / "bytes.json"
RECIPE = """
name: {name}
data:
  - pool: {{jsonl: [documents.jsonl]}}
    pipeline: {name}-steps.yaml
tokenizer: {tokenizer}
scale: tiny
epochs: 9
tasks: [copa]
"""
EXPERIMENT = """
name: small
recipes: {all: all.yaml, long: long.yaml}
scales: [bytes-74k, bytes-230k]
tokens: [20480, 40960]
seeds: [1]
held_out: {path: held.jsonl, documents: 3}
"""


def lines(count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(50)]
    texts = [" ".join(rng.choice(words, rng.integers(20, 200))) for _ in range(count)]
    return "".join(json.dumps({"text": text, "url": f"https://e.org/{i}"}) + "\n" for i, text in enumerate(texts))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of two recipes on made-up documents."""
    (tmp_path / "documents.jsonl").write_text(lines(80, seed=1), encoding="utf-8")
    (tmp_path / "held.jsonl").write_text(lines(9, seed=2), encoding="utf-8")
    for name, words in (("all", 1), ("long", 60)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(name=name, tokenizer=BYTES), encoding="utf-8")
        steps = f"name: {name}\nsteps:\n  - page_length: {{of: word, min: {words}}}\n"
        (tmp_path / f"{name}-steps.yaml").write_text(steps, encoding="utf-8")
    (tmp_path / "e.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return tmp_path


def run(folder: Path) -> ExperimentOutcome:
    return run_experiment(load_experiment(folder / "e.yaml"), folder / "out", SerialEngine())


@pytest.mark.slow
def test_a_grid_is_measured_and_reported_and_goes_on_after_a_kill(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dclm.recipe.run import Run

    train, trained = Run.train, []

    def dies_at_the_fourth(self: Run) -> Path:
        trained.append(self.layout.train)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return train(self)

    monkeypatch.setattr(Run, "train", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    monkeypatch.setattr(Run, "train", train)
    finished = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("record.json")}
    assert len([p for p in finished if p.parent.name == "train"]) == 3
    main(["experiment", str(folder / "e.yaml"), "--out", str(folder / "out"), "--workers", "1"])
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    said = capsys.readouterr()
    assert "[8/8] long bytes-230k/40960/seed-1" in said.err

    points = json.loads((folder / "out" / "points.json").read_text(encoding="utf-8"))["points"]
    assert len({p["fingerprint"] for p in points}) == 8
    assert all(p["bits_per_byte"] < 8 for p in points)
    assert "| all → long | bytes-74k | 20,480 |" in said.out
    text = write_report(load_experiment(folder / "e.yaml").experiment, run(folder), folder / "again")
    assert text + "\n" == said.out
    for name in ("points.json", "order.svg", "curve-all.svg", "curve-long.svg", "report.md"):
        assert (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()


def test_learning_rates_and_weight_decays_are_axes(folder: Path) -> None:
    text = EXPERIMENT.replace("[bytes-74k, bytes-230k]", "[bytes-74k]").replace("[20480, 40960]", "[20480]")
    (folder / "e.yaml").write_text(text + "learning_rates: [1, 4]\n", encoding="utf-8")
    outcome = run(folder)
    assert [p.learning_rate for p in outcome.points] == [1, 1, 4, 4]
    assert len({p.fingerprint for p in outcome.points}) == 4
    assert (folder / "out" / "all" / "bytes-74k" / "20480" / "seed-1" / "train").is_dir()  # the path of earlier runs
    report = write_report(load_experiment(folder / "e.yaml").experiment, outcome, folder / "out")
    assert "| rate ×1, decay ×1 | rate ×4, decay ×1 | verdict |" in report
    assert report.count("| all | bytes-74k") == 1  # only the scale's own rates are compared in the other tables
    assert (folder / "out" / "rates.svg").read_bytes().startswith(b"<?xml")


def test_recipes_are_compared_with_a_baseline_and_with_published_results(tmp_path: Path) -> None:
    bits = {"none": (3.0, 3.1), "good": (2.8, 2.91), "bad": (3.4, 3.52), "unsure": (3.4, 2.7)}
    points = [
        Point(recipe=recipe, scale="s", seed=seed, parameters=9, tokens=99, bits_per_byte=value, train_loss=1.0,
              repeated=0.0, fingerprint="f")
        for recipe, values in bits.items() for seed, value in enumerate(values)
    ]  # fmt: skip
    experiment = Experiment(
        name="cuts", recipes=dict.fromkeys(bits, "-"), scales=("s",), seeds=(0, 1), baseline="none",
        held_out=HeldOut(path="-", documents=1), published_as="CORE",
        published={"none": 0.28, "good": 0.3, "bad": 0.26},
    )  # fmt: skip
    report = write_report(experiment, ExperimentOutcome(points=tuple(points), overlaps={}), tmp_path)
    assert "| 95 % from | to | CORE |" in report
    assert report.count("| 0.3000 |\n") == 1
    assert report.count("| – |\n") == 1  # nothing is published about `unsure`
    assert "Rank correlation with CORE at s, 99 tokens: +1.00." in report
    verdicts = {line.split(" | ")[0]: line.rsplit("| ", 1)[1] for line in report.splitlines() if "→" in line}
    assert verdicts == {
        "| none → good": "better |", "| none → bad": "worse |", "| none → unsure": "not decided |",
    }  # fmt: skip
    assert (tmp_path / "gains.svg").read_bytes().startswith(b"<?xml")


def test_a_cell_adapts_its_scale() -> None:
    scale = find_scale("bytes-74k")
    cell = Cell(recipe="r", scale=scale.name, tokens=None, seed=1)
    assert cell.adapt(scale) is scale
    tuned = dataclasses.replace(cell, learning_rate=0.5, weight_decay=2.0).adapt(scale)
    assert tuned.learning_rate == scale.learning_rate / 2
    assert tuned.final_learning_rate == scale.final_learning_rate / 2
    assert tuned.weight_decay == 2 * scale.weight_decay
    assert not tuned.standard
    assert dataclasses.replace(cell, learning_rate=0.5).label == "bytes-74k/own/rate-0.5x-decay-1x/seed-1"


def test_held_out_documents_lie_at_equal_distances(folder: Path) -> None:
    write_held_out(HeldOut(path="-", documents=3), folder / "held.jsonl", folder / "h.jsonl")
    texts = [json.loads(line)["text"] for line in (folder / "held.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = [json.loads(line)["text"] for line in (folder / "h.jsonl").read_text(encoding="utf-8").splitlines()]
    assert chosen == [texts[0], texts[3], texts[6]]
    with pytest.raises(DataError, match=r"found 9 documents, allowed: 10"):
        write_held_out(HeldOut(path="-", documents=10), folder / "held.jsonl", folder / "h.jsonl")


def test_documents_that_hold_held_out_text_are_counted(folder: Path) -> None:
    from dclm.recipe.run import Run, RunOptions

    held = (folder / "held.jsonl").read_text(encoding="utf-8").splitlines()
    with (folder / "documents.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({"text": "before it " + json.loads(held[4])["text"]}) + "\n")
    recipe = load_experiment(folder / "e.yaml").recipes["all"]
    Run(recipe, folder / "o", SerialEngine(), RunOptions(until="curate")).execute()
    found = overlap([folder / "o" / "documents" / "data"], folder / "held.jsonl")
    assert (found.documents, found.shared) == (81, 1)


def test_what_was_read_before_is_measured_in_what_is_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    texts = ["".join(chr(c) for c in rng.integers(97, 123, 5000)) for _ in range(8)]
    for name, chosen in (("once", texts), ("thrice", texts * 3)):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in chosen)
        (tmp_path / f"{name}.jsonl").write_text(rows, encoding="utf-8")
        config = TokenizeConfig(seq_len=256)
        tokenize([tmp_path / f"{name}.jsonl"], tmp_path / name, tokenizer=str(BYTES), config=config)
    assert repeated_share(tmp_path / "once", 150) < 0.002  # the one padded row
    assert 0.5 < repeated_share(tmp_path / "thrice", 467) < 2 / 3
    assert 0.05 < repeated_share(tmp_path / "thrice", 100) < 0.3  # a part of the pool has fewer pairs of copies
    assert repeated_share(tmp_path / "once", 312) == pytest.approx(0.5, abs=0.01)  # two passes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [1]", "seeds: []", "`seeds` is empty"),
        ("[20480, 40960]", "[20480, 20480]", "`tokens` has a value twice"),
        ("seeds: [1]", "seeds: [1]\nlearning_rates: [1, 0]", "`learning_rates` has 0, allowed: positive"),
        ("seeds: [1]", "seeds: [1]\nweight_decays: []", "`weight_decays` is empty"),
        ("seeds: [1]", "seeds: [1]\nweight_decays: [2, 2.0]", "`weight_decays` has a value twice"),
        ("bytes-74k,", "bytes-75k,", "did you mean `bytes-74k`"),
        ("all: all.yaml", "all: none.yaml", "no such file"),
        ("{all: all", "{../all: all", "a name is not a path"),
        ("path: held.jsonl", "path: 's3://b/held.jsonl'", "allowed: a local"),
        ("seeds: [1]", "seeds: [1]\nbaseline: al", "found the recipe al, allowed: all, long"),
        ("seeds: [1]", "seeds: [1]\npublished: {none: 0.3}", "found the recipe none, allowed: all, long"),
    ],
)
def test_a_wrong_experiment_is_told_before_anything_starts(folder: Path, old: str, new: str, message: str) -> None:
    text = (folder / "e.yaml").read_text(encoding="utf-8").replace(old, new)
    (folder / "e.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_experiment(folder / "e.yaml")


SHIPPED = [*BYTES.parent.glob("*.yaml"), ROOT / "recipes" / "table4.yaml"]


@pytest.mark.parametrize("path", sorted(p for p in SHIPPED if "recipes:" in p.read_text("utf-8")), ids=lambda p: p.name)
def test_shipped_experiments_load_and_so_do_their_pipelines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dclm.recipe.plan import plan_lines

    monkeypatch.delenv("DCLM_SHARED", raising=False)
    loaded = load_experiment(path)
    assert loaded.held_out.name.endswith(".jsonl.gz")
    assert len(loaded.cells()) in (9, 12, 18, 24, 27, 32)
    for recipe in loaded.recipes.values():
        assert list(plan_lines(recipe))


def test_the_byte_tokenizer_gives_bytes(tmp_path: Path) -> None:
    texts = ["plain", "é 日本 \U0001f469\u200d\U0001f467\n\r\t\x00 ~\x7f\xa0\xad", "  a\n\n  b  ", ""]
    for text in texts:
        ids = encode(str(BYTES), "hf", [text]).ids.tolist()
        assert ids == list(text.encode())
        assert decode(str(BYTES), ids) == text
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "ab"}) + "\n", encoding="utf-8")
    record = tokenize([tmp_path / "t.jsonl"], tmp_path / "t", tokenizer=str(BYTES))
    assert (record.config["vocab_size"], record.config["eot_id"]) == (257, 256)
