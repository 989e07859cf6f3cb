"""Training: the same spec gives the same file, and held-out documents are not used for training."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import fasttext
import pytest
from click.testing import CliRunner

from dclm.cli.documents.classifier import classifier
from dclm.cli.documents.score import score
from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError, DataError, IncompleteError
from dclm.core.record import FileEntry, Record, read_record, write_record
from dclm.core.stages import stage
from dclm.core.storage import sha256_file
from dclm.select.classifier import train as training
from dclm.select.classifier.examples import read_examples
from dclm.select.classifier.score import judge
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.classifier.train import train_classifier

GOOD = ["clear", "careful", "sentence", "about", "science", "history", "reason"]
BAD = ["buy", "cheap", "click", "pills", "now", "winner"]


def write_texts(path: Path, words: list[str], count: int, seed: int) -> str:
    draw = random.Random(seed)
    rows = [{"text": " ".join(draw.choices([*words, "the", "a", "of"], k=20)) + f"\nline {i}"} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def spec(tmp_path: Path) -> ClassifierSpec:
    positives = (TextSource(path=write_texts(tmp_path / "good.jsonl", GOOD, 120, 1)),)
    negatives = (
        TextSource(path=write_texts(tmp_path / "bad.jsonl", BAD, 100, 2)),
        TextSource(path=write_texts(tmp_path / "worse.jsonl", BAD, 100, 3), max_documents=20),
    )
    return ClassifierSpec(
        positives=positives, negatives=negatives, dim=4, bucket=100, epochs=10, held_out_fraction=0.25, seed=5
    )


def test_the_same_spec_gives_the_same_file_wherever_the_sources_lie(spec: ClassifierSpec, tmp_path: Path) -> None:
    first = train_classifier(spec, tmp_path / "one")
    (tmp_path / "elsewhere").mkdir()
    for name in ("good", "bad", "worse"):
        (tmp_path / f"{name}.jsonl").rename(tmp_path / "elsewhere" / f"{name}.jsonl")
    moved = spec.with_paths(lambda path: str(tmp_path / "elsewhere" / Path(path).name))
    second = train_classifier(moved, tmp_path / "two")
    assert first.fingerprint == second.fingerprint
    assert [f.sha256 for f in first.files] == [f.sha256 for f in second.files]


def test_another_seed_gives_another_model(spec: ClassifierSpec, tmp_path: Path) -> None:
    first = train_classifier(spec, tmp_path / "one")
    second = train_classifier(dataclasses.replace(spec, seed=6), tmp_path / "two")
    assert first.fingerprint != second.fingerprint
    assert {f.sha256 for f in first.files}.isdisjoint(f.sha256 for f in second.files)


def test_the_artifact_says_how_good_it_is(spec: ClassifierSpec, tmp_path: Path) -> None:
    record = train_classifier(spec, tmp_path / "out")
    assert read_record(tmp_path / "out") == record
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["roc_auc"] > 0.99
    assert metrics["documents"] == sum(row["documents"] for row in metrics["reliability"])
    train = record.counts["train_positives"] + record.counts["train_negatives"]  # type: ignore[operator]
    assert train + metrics["documents"] == 120 + 100 + 20
    assert sorted(fasttext.load_model(str(tmp_path / "out" / "model.bin")).get_labels()) == [
        "__label__cc",
        "__label__hq",
    ]


def test_finished_work_is_reused(spec: ClassifierSpec, tmp_path: Path) -> None:
    train_classifier(spec, tmp_path / "out")
    before = (tmp_path / "out" / "model.bin").stat().st_mtime_ns
    train_classifier(spec, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").stat().st_mtime_ns == before


def test_training_that_was_stopped_before_its_record_goes_on(
    spec: ClassifierSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its published files are in a directory marked as ours, with or without an earlier model."""
    other = dataclasses.replace(spec, seed=6)
    expected = train_classifier(spec, tmp_path / "calm")
    train_classifier(other, tmp_path / "again")
    for out in (tmp_path / "new", tmp_path / "again"):
        with monkeypatch.context() as patch:
            patch.setattr(stage, "write_record", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train_classifier(spec, out, force=True)
        assert (out / "metrics.json").exists()
        with pytest.raises(IncompleteError):
            read_record(out)
        assert train_classifier(spec, out).files == expected.files
        assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "model.bin", "record.json"]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_changed_source_is_learnt_anew(spec: ClassifierSpec, tmp_path: Path) -> None:
    first = train_classifier(spec, tmp_path / "out")
    write_texts(tmp_path / "bad.jsonl", BAD, 101, 9)
    with pytest.raises(ConfigError, match="holds finished classifier"):
        train_classifier(spec, tmp_path / "out")
    assert train_classifier(spec, tmp_path / "out", force=True).fingerprint != first.fingerprint


def test_draws_are_bounded_and_split_once(spec: ClassifierSpec) -> None:
    train, held_out = read_examples(spec)
    sources = [e.source for e in (*train, *held_out)]
    assert len(set(sources)) == len(sources)
    assert sum(s.startswith("negatives[1]") for s in sources) == 20
    assert train == sorted(train)
    assert all("\n" not in e.text for e in train)


def test_text_that_looks_like_a_label_is_no_label(spec: ClassifierSpec, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "__label__hq __label__new buy cheap"}\n' * 50)
    train_classifier(dataclasses.replace(spec, held_out_fraction=0.0), tmp_path / "out")
    assert len(fasttext.load_model(str(tmp_path / "out" / "model.bin")).get_labels()) == 2


def test_a_source_without_text_is_named(spec: ClassifierSpec, tmp_path: Path) -> None:
    (tmp_path / "worse.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(DataError, match=r"negatives\[1\]"):
        train_classifier(spec, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".work"]


def damaged(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes())[:-4])


def with_a_bad_line(path: Path) -> None:
    path.write_text(path.read_text() + "{no JSON\n")


def with_another_byte(path: Path) -> None:
    """A file of a finished artifact, changed afterwards."""
    entry = FileEntry(path=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)
    record = Record(kind="pool", name="p", fingerprint="f", config={}, inputs={}, counts={}, files=(entry,))
    write_record(path.parent, record)
    path.write_bytes(path.read_bytes().replace(b"buy", b"bye"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damaged, "truncated gzip at byte"),
        (with_a_bad_line, "worse.jsonl#100: line 101: not JSON"),
        (with_another_byte, "which differs from record.json"),
    ],
)
def test_no_example_is_lost_unsaid(
    harm: Callable[[Path], None], message: str, spec: ClassifierSpec, tmp_path: Path
) -> None:
    harm(tmp_path / "worse.jsonl")
    with pytest.raises(DataError, match=message):
        train_classifier(spec, tmp_path / "out")
    assert not (tmp_path / "out" / "record.json").exists()


def test_examples_that_change_while_they_are_read_are_named(
    spec: ClassifierSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*given: object) -> object:
        (tmp_path / "bad.jsonl").write_text('{"text": "other"}\n')
        return read_examples(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "read_examples", changed)
    with pytest.raises(DataError, match="was changed while being read"):
        train_classifier(spec, tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        "{positives: [], negatives: [{path: a}]}",
        "{positives: [{path: a}], negatives: [{path: b}], positive_label: hq}",
        "{positives: [{path: a}], negatives: [{path: b}], positive_label: __label__cc}",
        "{positives: [{path: a}], negatives: [{path: b}], held_out_fraction: 0.9}",
        "{positives: [{path: a, max_documents: 0}], negatives: [{path: b}]}",
    ],
)
def test_wrong_specs_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        build(ClassifierSpec, parse_yaml(text))


@pytest.mark.parametrize(
    "line", ['{"text": "a"}', '{"text": "a", "label": 2}', "[]", "{", '{"text": null, "label": 1}']
)
def test_a_wrong_line_of_labels_is_named(line: str, spec: ClassifierSpec, tmp_path: Path) -> None:
    train_classifier(spec, tmp_path / "out")
    (tmp_path / "labels.jsonl").write_text('{"text": "a", "label": 1}\n' + line + "\n")
    with pytest.raises(DataError, match=r"labels.jsonl:2"):
        judge(tmp_path / "out", [str(tmp_path / "labels.jsonl")])


def test_the_command_trains_and_judges(spec: ClassifierSpec, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        "positives: [{path: good.jsonl}]\nnegatives: [{path: bad.jsonl}]\ndim: 4\nbucket: 100\nepochs: 10\n"
    )
    done = CliRunner().invoke(classifier, ["train", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    labels = [{"text": " ".join(words), "label": label} for words, label in ((GOOD, 1), (BAD, 0)) for _ in range(3)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    command = [str(tmp_path / "out"), str(tmp_path / "labels.jsonl")]
    assert json.loads(CliRunner().invoke(score, command).stdout)["roc_auc"] == 1.0
    curve = CliRunner().invoke(score, [*command, "--curve"]).stdout.splitlines()
    assert json.loads(curve[0])["precision"] == 1.0


@pytest.mark.shared
def test_a_model_learns_instructions_from_newsgroups(shared: Path, tmp_path: Path) -> None:
    spec = ClassifierSpec(
        positives=(TextSource(path=str(shared / "text" / "instruct_small.jsonl.gz"), max_documents=1500),),
        negatives=(TextSource(path=str(shared / "text" / "newsgroups20.jsonl.gz"), max_documents=1500),),
        dim=8, bucket=20_000, held_out_fraction=0.2,
    )  # fmt: skip
    held_out = train_classifier(spec, tmp_path / "out").counts["held_out"]
    assert isinstance(held_out, dict)
    assert held_out["roc_auc"] > 0.98
    judged = judge(tmp_path / "out", [str(shared / "text" / "dclm_human_quality" / "majority_data.jsonl")])
    assert judged.summary["documents"] == 499
