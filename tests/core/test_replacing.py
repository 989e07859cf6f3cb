"""A finished artifact is reused, or replaced if that was asked for: no stage replaces one unasked."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.cli.main import dclm, main
from dclm.cli.shared.hints import active_command, options
from dclm.core.errors import ConfigError
from dclm.core.record import Record, read_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stage import Workspace, run_stage
from dclm.curate.indexes.index import build_index
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.filters.rules.length import PageLength
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.classifier.train import train_classifier
from dclm.select.hosts.graph import HostGraphSpec, rank_hosts
from dclm.select.ngram.train import NgramSpec, train_ngram
from dclm.tokens.webdataset import import_webdataset

Make = Callable[[Path, int, bool], object]
"""Makes an artifact at a path, from settings number 1 or 2, with or without `force`."""


def texts(out: Path) -> str:
    """A pool of texts next to `out`."""
    path = out.parent / "texts.jsonl"
    rows = [{"text": f"some words about {n} and more of them", "url": f"http://a{n % 3}.org/{n}"} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def any_stage(out: Path, settings: int, force: bool) -> object:
    def make(space: Workspace) -> Record:
        (Path(space.out) / "file").write_text(str(settings))
        return Record(kind="tokens", name="any", fingerprint=f"{settings:064}", config={})

    engine, progress = SerialEngine(), NullProgress()
    return run_stage(
        out, kind="tokens", identity=f"{settings:064}", make=make, engine=engine, progress=progress, force=force
    )


def documents(out: Path, settings: int, force: bool) -> object:
    bound = bind(Pipeline(name="p", steps=(PageLength(of="word", min=settings),)))
    return curate(bound, list_files([texts(out)]), out, CurateOptions(), SerialEngine(), force=force)


def index(out: Path, settings: int, force: bool) -> object:
    return build_index(Exact(min_length=settings), list_files([texts(out)]), str(out), SerialEngine(), force=force)


def classifier(out: Path, settings: int, force: bool) -> object:
    source = (TextSource(path=texts(out)),)
    spec = ClassifierSpec(positives=source, negatives=source, dim=2, bucket=10, epochs=1, seed=settings)
    return train_classifier(spec, out, force=force)


def ngrams(out: Path, settings: int, force: bool) -> object:
    spec = NgramSpec(texts=(TextSource(path=texts(out)),), order=settings + 1)
    return train_ngram(spec, out, force=force)


def sample(out: Path, settings: int, force: bool) -> object:
    return make_sample(out, seed=settings, documents=3, files=1, force=force)


def rows(out: Path, settings: int, force: bool) -> object:
    folder = out.parent / f"set-{settings}"
    folder.mkdir(exist_ok=True)
    data = json.dumps([settings, 2, 3, 4]).encode()
    with tarfile.open(folder / "00000000.tar", "w") as archive:
        info = tarfile.TarInfo("0000-key.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return import_webdataset(folder, out, seq_len=3, force=force)


STAGES: dict[str, Make] = {
    make.__name__: make for make in (any_stage, documents, index, classifier, ngrams, sample, rows)
}


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_other_settings_replace_a_finished_artifact_only_if_asked(stage: str, tmp_path: Path) -> None:
    make, out = STAGES[stage], tmp_path / "out"
    make(out, 1, False)
    before = content(out)
    made = read_record(out)
    with pytest.raises(ConfigError) as caught:
        make(out, 2, False)
    text = str(caught.value)
    assert f"holds finished {made.kind}" in text
    assert "--force" in text
    assert content(out) == before
    make(out, 2, True)
    assert read_record(out).fingerprint != made.fingerprint
    make(out, 1, True)
    assert read_record(out).digest == made.digest
    assert content(out).keys() == before.keys()


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "rows"])
def test_the_same_settings_reuse_it_with_or_without_force(stage: str, tmp_path: Path) -> None:
    make, out = STAGES[stage], tmp_path / "out"
    make(out, 1, False)
    before = content(out)
    make(out, 1, False)
    make(out, 1, True)
    assert content(out) == before


def test_the_refusal_says_what_is_there_and_what_was_asked_for(tmp_path: Path) -> None:
    any_stage(tmp_path / "out", 1, False)
    made = read_record(tmp_path / "out").provenance["finished"]
    with pytest.raises(ConfigError) as caught:
        any_stage(tmp_path / "out", 2, False)
    assert str(caught.value) == (
        f"{tmp_path / 'out'}\nholds finished tokens `any`, made {made} with fingerprint 000000000000; "
        "this call would replace it with fingerprint 000000000000\n"
        "hint: choose another directory, or pass --force to replace it"
    )


def test_an_artifact_of_another_kind_is_refused_with_and_without_force(tmp_path: Path) -> None:
    any_stage(tmp_path / "out", 1, False)
    for force in (False, True):
        with pytest.raises(ConfigError, match="artifact of kind tokens, allowed: documents"):
            documents(tmp_path / "out", 1, force)


def test_unfinished_work_of_other_settings_is_no_finished_artifact(tmp_path: Path) -> None:
    any_stage(tmp_path / "out", 1, False)
    record = tmp_path / "out" / "record.json"
    (tmp_path / "out" / ".work").mkdir()
    (tmp_path / "out" / ".work" / "owner.json").write_text('{"kind": "tokens", "made_by": "dclm"}')
    record.unlink()
    any_stage(tmp_path / "out", 2, False)
    assert (tmp_path / "out" / "file").read_text() == "2"


def test_ranks_of_hosts_are_kept_too(tmp_path: Path) -> None:
    pool = make_sample(tmp_path / "pool", seed=1, documents=8, files=1)
    other = make_sample(tmp_path / "other", seed=2, documents=8, files=1)
    rank_hosts(HostGraphSpec(pages=(f"{pool}/warc",)), tmp_path / "out")
    with pytest.raises(ConfigError, match="holds finished model"):
        rank_hosts(HostGraphSpec(pages=(f"{other}/warc",)), tmp_path / "out")


def code(arguments: list[str]) -> int:
    """The exit code of a command."""
    try:
        main(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


PIPELINE = "name: p\nsteps:\n  - page_length: {of: word, min: %d}\n"


def test_the_command_ends_with_code_2_and_replaces_with_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, out = texts(tmp_path / "out"), str(tmp_path / "out")
    for number in (1, 9):
        (tmp_path / f"{number}.yaml").write_text(PIPELINE % number)
    command = ["curate", "--pool", pool, "--out", out, "--workers", "1"]
    assert code([*command, str(tmp_path / "1.yaml")]) == 0
    assert code([*command, str(tmp_path / "1.yaml")]) == 0
    assert "reused, made " in capsys.readouterr().err
    assert code([*command, str(tmp_path / "9.yaml")]) == 2
    error = capsys.readouterr().err
    assert "holds finished documents `p`, made 2" in error
    assert "pass --force" in error
    assert read_record(out).counts["kept"] == 30
    assert code([*command, str(tmp_path / "9.yaml"), "--force"]) == 0
    assert read_record(out).counts["kept"] == 0


def test_an_edited_recipe_replaces_no_finished_stage_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, out = texts(tmp_path / "out"), tmp_path / "out"
    (tmp_path / "p.yaml").write_text(PIPELINE % 1)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\ndata: [{{name: web, pool: {pool}, pipeline: p.yaml}}]\nscale: tiny\ntasks: [copa]\n")
    command = ["run", str(recipe), "--out", str(out), "--until", "curate", "--workers", "1"]
    assert code(command) == 0
    before = content(out)
    (tmp_path / "p.yaml").write_text(PIPELINE % 9)
    assert code(command) == 2
    assert f"{out}/documents/web" in capsys.readouterr().err
    assert content(out) == before
    assert code([*command, "--force"]) == 0
    assert read_record(out / "documents" / "web").counts["kept"] == 0


def test_every_command_that_makes_an_artifact_has_the_option() -> None:
    named = [
        "curate", "tokenize", "train", "evaluate", "run", "submit", "experiment", "classifier train", "dedup index",
        "pool sample", "tokens import", "mix swarm",
    ]  # fmt: skip
    for name in named:
        assert "--force" in options(active_command(dclm, name.split())), name
