"""Wrong input on the command line: three lines, the right exit code, nothing half-written."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main

RECIPE = """
name: r
data:
  - pool: {pool}
    pipeline: {pipeline}
scale: {scale}
suite: core
{more}
"""
PIPELINE = "name: p\nsteps:\n  - extract: {with: resiliparse}\n  - page_length: {of: word, min: 3}\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        assert isinstance(caught.value.code, int)
        return caught.value.code, capsys.readouterr().err

    return call


def warc(payload: bytes, content_type: str = "text/html") -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type.encode() + b"\r\n\r\n" + payload
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000001>\r\n"
        "WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Target-URI: http://example.org/\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_three_lines(error: str) -> None:
    lines = error.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 3, error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("name: p\nsteps:\n  - langauge: {keep: [en]}\n", ["unknown step `langauge`", "did you mean `language`?"]),
        ("name: p\nsteps:\n  - page_length: {of: word, min: many}\n", ["p.yaml:3", "found 'many'", "a whole number"]),
        ("name: p\nsteps:\n  - threshold: {column: q, minimum: 1}\n", ["minimum", "unknown field"]),
        ("name: p\nsteps:\n  - quantile: {column: q, keep_top: -0.1}\n", ["found -0.1"]),
        ("name: p\nsteps: [language\n", ["not valid YAML"]),
        ("name: p\nname: q\nsteps: []\n", ["`name` occurs twice"]),
        ("steps: 3\n", ["needs `name:` and `steps:`"]),
        ("name: p\nsteps:\n  - os.path:join\n", ["runs code", "--trust"]),
    ],
)
def test_a_wrong_pipeline(tmp_path: Path, run, pipeline: str, expected: list[str]) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path / "p.yaml", pipeline)
    pool = write(tmp_path / "pool.jsonl", '{"text": "a"}\n')
    code, error = run("curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out"))
    assert code == 2
    assert_three_lines(error)
    for part in expected:
        assert part in error
    assert not (tmp_path / "out").exists()


def test_two_errors_are_told_at_once(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    text = "name: p\nsteps:\n  - langauge: {}\n  - page_length: {of: word, min: -3}\n"
    file = write(tmp_path / "p.yaml", text)
    pool = write(tmp_path / "pool.jsonl", '{"text": "a"}\n')
    code, error = run("curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out"))
    assert code == 2
    assert_three_lines(error)
    assert "p.yaml:3" in error
    assert "p.yaml:4" in error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"scale": "411m"}, ["scale 411m", "411m_1x"]),
        ({"more": "sead: 3"}, ["sead", "did you mean `seed`?"]),
        ({"more": "tokens: -5\nlimit: 0"}, ["found -5", "found 0"]),
        ({"more": "tasks: [copa]"}, ["either `suite` or `tasks`"]),
        ({"pool": "{sample: {documents: 0}}"}, ["documents", "found 0"]),
        ({"pipeline": "nowhere.yaml"}, ["nowhere.yaml", "no such file"]),
        ({"pool": "${DATASETS}/x"}, ["DATASETS", "is not set"]),
    ],
)
def test_a_wrong_recipe(tmp_path: Path, run, change: dict[str, str], expected: list[str]) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "p.yaml", PIPELINE)
    values = {"pool": "pool.jsonl", "pipeline": "p.yaml", "scale": "tiny", "more": "", **change}
    recipe = write(tmp_path / "r.yaml", RECIPE.format(**values))
    code, error = run("run", str(recipe), "--out", str(tmp_path / "out"))
    assert code == 2, error
    assert_three_lines(error)
    for part in expected:
        assert part in error
    assert not (tmp_path / "out").exists()


def test_a_missing_pool(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path / "p.yaml", PIPELINE)
    code, error = run("curate", str(file), "--pool", str(tmp_path / "none.warc"), "--out", str(tmp_path / "out"))
    assert code == 3
    assert_three_lines(error)


@pytest.mark.parametrize(
    ("name", "content", "code", "expected"),
    [
        ("empty.warc", b"", 3, "contains no records"),
        ("empty.warc.gz", gzip.compress(b"", mtime=0), 3, "contains no records"),
        ("latin1.warc", warc("<p>caf\xe9 cr\xe8me</p>".encode("latin-1")), 3, "not UTF-8"),
        ("half.warc.gz", gzip.compress(warc(b"<p>one two three four</p>"), mtime=0)[:-40], 3, "truncated"),
    ],
)
def test_pools_that_cannot_be_used(  # type: ignore[no-untyped-def]
    tmp_path: Path, run, name: str, content: bytes, code: int, expected: str
) -> None:
    file = write(tmp_path / "p.yaml", PIPELINE)
    pool = write(tmp_path / name, content)
    found, error = run("curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out"))
    assert found == code, error
    assert_three_lines(error)
    assert expected in error
    assert not (tmp_path / "out" / "record.json").exists()


def test_a_truncated_file_makes_the_artifact_incomplete(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path / "p.yaml", PIPELINE)
    page = warc(b"<html><body><p>one two three four five</p></body></html>")
    pool = write(tmp_path / "half.warc.gz", gzip.compress(page, mtime=0) * 3 + gzip.compress(page, mtime=0)[:-60])
    arguments = ["curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out")]
    code, error = run(*arguments)
    assert code == 4
    assert "truncated gzip" in error
    assert "--allow-incomplete" in error
    code, error = run("tokenize", str(tmp_path / "out"), "--seq-len", "16", "--out", str(tmp_path / "tokens"))
    assert code == 4
    assert_three_lines(error)
    assert not (tmp_path / "tokens").exists()
    main([*arguments, "--allow-incomplete"])


def test_an_artifact_that_is_none(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, error = run("show", str(tmp_path))
    assert code == 4
    assert_three_lines(error)
    assert "no record.json" in error


def test_an_unknown_engine(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path / "p.yaml", PIPELINE)
    pool = write(tmp_path / "pool.jsonl", '{"text": "a"}\n')
    code, error = run("curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out"), "--on", "spark")
    assert code == 2
    assert "allowed: local, ray, ray:ADDRESS" in error


@pytest.mark.parametrize(("below", "what"), [("", "would overwrite"), ("deeper", "is inside the in")])
def test_a_file_where_the_artifact_should_stand(tmp_path: Path, run, below: str, what: str) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path / "p.yaml", PIPELINE)
    pool = write(tmp_path / "pool.jsonl", '{"text": "a"}\n')
    code, error = run("curate", str(file), "--pool", str(pool), "--out", str(pool / below))
    assert code == 2
    assert_three_lines(error)
    assert what in error
    assert pool.read_text("utf-8") == '{"text": "a"}\n'


def test_a_bug_shows_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.curate.pipeline.load_pipeline", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["curate", "p.yaml", "--pool", "x.jsonl", "--out", str(tmp_path / "out")])


def test_several_paths_may_follow_pool(tmp_path: Path) -> None:
    file = write(tmp_path / "p.yaml", PIPELINE)
    paths = [str(write(tmp_path / f"{name}.jsonl", f'{{"text": "one two three {name}"}}\n')) for name in "abc"]
    main(["curate", str(file), "--pool", *paths, "--out", str(tmp_path / "out")])
    texts = [
        text
        for part in sorted((tmp_path / "out" / "documents").iterdir())
        for text in pq.read_table(part).column("text").to_pylist()
    ]
    assert texts == ["one two three a", "one two three b", "one two three c"]


def test_no_page_writes_to_the_terminal_what_it_likes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "p.yaml", "name: p\nsteps:\n  - page_length: {of: word, min: 3}\n")
    line = '{"text": "\\u001b[2Jtwo \\u202e", "url": "http://a/\\u001b]0;x\\u0007\\n[red]", "id": "one"}\n'
    pool = write(tmp_path / "pool.jsonl", line + '{"text": "one two three"}\n')
    main(["curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out")])
    capsys.readouterr()
    main(["why", "one", "--in", str(tmp_path / "out")])
    line, end = capsys.readouterr().out.split("\n")
    assert line.split("\t")[:3] == ["dropped by page_length (step 0)", "one", "http://a/␛]0;x␇␊[red]"]
    assert end == ""
    main(["show", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert "[2Jtwo" in shown
    assert "[red]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_why_gives_every_record_of_an_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "p.yaml", "name: p\nsteps:\n  - page_length: {of: word, min: 3}\n")
    lines = ['{"text": "one two three", "url": "u"}', '{"text": "one", "url": "u"}', '{"text": null, "url": "u"}']
    pool = write(tmp_path / "pool.jsonl", "\n".join(lines))
    main(["curate", str(file), "--pool", str(pool), "--out", str(tmp_path / "out")])
    capsys.readouterr()
    main(["why", "u", "--in", str(tmp_path / "out")])
    outcomes = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert outcomes == ["kept", "dropped by page_length (step 0)", "rejected by read: line 3: `text` is null"]
