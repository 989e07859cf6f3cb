"""Output directories that belong to somebody else, overlap with the input, or lead elsewhere through a link."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import FileEntry, Kind, Record, read_record, write_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.stages.ownership import (
    MARK,
    OWNER,
    claim_directory,
    claim_file,
    claim_folder,
    mark_directory,
    release_directory,
    require_apart,
    require_directory,
)
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files

PIPELINE = "name: p\nsteps:\n  - page_length: {of: word, min: 1}\n"
POOL_SPEC = "positives: [{path: good.jsonl}]\nnegatives: [{path: bad.jsonl}]\ndim: 2\nbucket: 100\n"


def contents(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def record(kind: Kind, *paths: str) -> Record:
    files = tuple(FileEntry(path=path, sha256="0", bytes=0) for path in paths)
    return Record(kind=kind, name="x", fingerprint="0" * 64, config={}, files=files)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with foreign files and everything that the commands need."""
    lines = "".join(
        json.dumps({"text": f"some words of document {n}", "url": f"http://x/{n}"}) + "\n" for n in range(9)
    )
    for name in ("documents/in.jsonl", "good.jsonl", "bad.jsonl", "precious/documents/thesis.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
    (tmp_path / "precious/letters.txt").write_text("of my grandmother")
    (tmp_path / "precious/index.html").write_text("my site")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "c.yaml").write_text(POOL_SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "curate": ["curate", "p.yaml", "--pool", "good.jsonl", "--workers", "1", "--out"],
    "tokens import": ["tokens", "import", "good.jsonl", "--out"],
    "classifier train": ["classifier", "train", "c.yaml", "--out"],
    "pool sample": ["pool", "sample", "--documents", "2", "--files", "1", "--out"],
    "model export": ["model", "export", "good.jsonl", "--to", "hf", "--out"],
    "model import": ["model", "import", "good.pt", "--out"],
    "audit": ["evaluate", "--audit", "--tasks", "copa", "--out"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_touches_a_directory_of_somebody_else(
    home: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(home)
    with pytest.raises(SystemExit) as ended:
        main([*command, "precious"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(said.splitlines()) == 3, said
    assert "hint: " in said
    assert contents(home) == before


def test_a_directory_is_refused_before_the_pool_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool may have terabytes, and hashing it takes hours."""

    def read(*given: object) -> None:
        raise AssertionError("the pool was read first")

    monkeypatch.setattr("dclm.curate.stage.survey_all", read)
    bound = bind(load_pipeline(home / "p.yaml"))
    with pytest.raises(ConfigError, match="not made by this command"):
        curate(bound, list_files([str(home / "good.jsonl")]), home / "precious", CurateOptions(), SerialEngine())


def test_input_is_never_replaced_by_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(home)
    for pool, out in (("documents", "."), ("documents", "documents"), ("documents", "documents/out")):
        with pytest.raises(SystemExit) as ended:
            main(["curate", "p.yaml", "--pool", pool, "--workers", "1", "--out", out])
        assert ended.value.code == 2
        assert "input documents" in capsys.readouterr().err
    assert contents(home) == before


def test_a_link_does_not_hide_that_input_and_output_overlap(home: Path) -> None:
    (home / "there").symlink_to(home / "documents")
    for out in ("there", "there/out", "documents"):
        with pytest.raises(ConfigError, match="input"):
            require_apart(home / out, [home / "there" / "in.jsonl", home / "there"])
    with pytest.raises(ConfigError, match="input"):
        require_apart("s3://bucket/a/", ["s3://bucket/a/b.parquet"])
    with pytest.raises(ConfigError, match="input"):
        require_apart("s3://bucket/a/b", ["s3://bucket/a"])
    require_apart("s3://bucket/a", ["s3://bucket/ab"])
    require_apart(home / "doc", [home / "documents"])


def test_a_link_in_an_artifact_of_ours_leads_nowhere(home: Path) -> None:
    out = home / "out"
    claim_directory(out, "documents")
    (out / "documents").symlink_to(home / "precious")
    with pytest.raises(ConfigError, match="link, documents"):
        claim_directory(out, "documents")


def test_a_directory_is_ours_by_its_record_or_mark_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim_directory(out, "documents")
    (out / "documents").mkdir()
    require_directory(out, "documents")
    with pytest.raises(ConfigError, match="not made by this command"):
        require_directory(out, "tokens")
    write_record(out, record("documents"))
    release_directory(out)
    assert not (out / OWNER).parent.exists()
    require_directory(out, "documents")
    with pytest.raises(ConfigError, match="kind documents, allowed: tokens"):
        require_directory(out, "tokens")
    (out / "record.json").write_text("{}")
    with pytest.raises(ConfigError, match="not made by this command"):
        require_directory(out, "documents")
    (out / ".work").mkdir()
    for planted in ("", "[]", '{"kind": "documents"}', '{"made_by": "somebody", "kind": "documents"}'):
        (out / OWNER).write_text(planted)
        with pytest.raises(ConfigError, match="not made by this command"):
            require_directory(out, "documents")


def test_what_a_crash_left_before_the_mark_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".lease.json").write_text("{}")
    (tmp_path / ".tmp-.lease.json-x").write_text("")
    require_directory(tmp_path, "documents")


def test_a_crash_between_the_work_folder_and_its_mark_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """The folder is empty then, or has a mark that is not complete; with anything else it is somebody's."""
    (tmp_path / ".work").mkdir()
    require_directory(tmp_path, "tokens")
    (tmp_path / ".work" / ".tmp-1").write_text("")
    require_directory(tmp_path, "tokens")
    (tmp_path / ".work" / "notes").write_text("mine")
    with pytest.raises(ConfigError, match=r"such as \.work"):
        require_directory(tmp_path, "tokens")


def test_a_directory_that_is_replaced_must_hold_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    write_record(tmp_path, record("classifier", "model.bin"))
    require_directory(tmp_path, "classifier", replaced=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"not part of the artifact: notes\.txt"):
        require_directory(tmp_path, "classifier", replaced=True)


def test_a_run_and_a_site_know_their_own_directories(tmp_path: Path) -> None:
    claim_folder(tmp_path / "run", "run")
    (tmp_path / "run" / "x").write_text("")
    claim_folder(tmp_path / "run", "run")
    with pytest.raises(ConfigError, match="not part of a site"):
        claim_folder(tmp_path / "run", "site")
    old = tmp_path / "old" / "tokens"
    old.mkdir(parents=True)
    write_record(old, record("tokens"))
    with pytest.raises(ConfigError, match="not part of a run"):
        claim_folder(tmp_path / "old", "run")
    claim_folder(tmp_path / "old", "run", known=("*/record.json",))
    assert (tmp_path / "old" / MARK).exists()


def test_a_file_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    claim_file(path)
    path.write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        claim_file(path)
    claim_file(path, force=True)
    claim_file(path, ours=lambda content: content == b"mine")
    with pytest.raises(ConfigError, match="one of the inputs"):
        claim_file(path, [tmp_path / "." / "plot.svg"], force=True)
    with pytest.raises(ConfigError, match="is a directory"):
        claim_file(tmp_path, force=True)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "", "..\\b"])
def test_a_record_names_files_of_its_own_directory_alone(tmp_path: Path, path: str) -> None:
    write_record(tmp_path, record("tokens", path))
    with pytest.raises(Exception, match="outside its directory"):
        read_record(tmp_path)


def test_an_object_store_is_asked_like_a_disk(s3: str) -> None:
    address = f"{s3}/foreign"
    require_directory(address, "documents")
    mark_directory(address, "documents")
    require_directory(address, "documents")
    with pytest.raises(ConfigError, match="not made by this command"):
        require_directory(address, "tokens")
