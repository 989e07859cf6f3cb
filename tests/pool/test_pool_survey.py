"""What must be known of a pool's files before they are read: found in one reading, and remembered with care."""

from __future__ import annotations

import bz2
import gzip
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from dclm.core.errors import DataError
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool import survey as surveyed
from dclm.pool.files import ByteRange, InputFile, file_identity, list_files
from dclm.pool.survey import survey, survey_all
from dclm.pool.texts.layout import Fields
from dclm.tokens.documents import files_of_texts

LATER = 1 << 62  # by then, every file has been at rest for long
LINES = b"".join(b'{"text": "line %d"}\n' % i for i in range(40_000))
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:], 1),
    ".zst": lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zstandard.compress(data),
    ".bz2": bz2.compress,
}


class Counting(SerialEngine):
    """Counts the files that are surveyed, after `meddle` was called."""

    def __init__(self, meddle: Callable[[], object] = lambda: None) -> None:
        self.read = 0
        self._meddle = meddle

    def map(self, function: Any, units: Iterable[Any], *, one_gpu_each: bool = False) -> Iterator[tuple[int, Any]]:
        for found in super().map(function, units):
            if function is survey:
                self._meddle()
                self.read += 1
            yield found


@pytest.fixture(autouse=True)
def _remember(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(surveyed, "SETTLED_NS", 2 * 10**9)


def in_parts(file: InputFile, *lengths: int) -> list[InputFile]:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return [replace(file, part=ByteRange(a, n)) for a, n in zip(starts, lengths, strict=True)]


@pytest.fixture
def file(tmp_path: Path) -> InputFile:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (file,) = list_files([str(tmp_path / "a.jsonl")])
    return file


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last", [1 << 60, 7])  # the whole content, or only its beginning
def test_one_reading_gives_the_hash_and_the_lines(form: str, last: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{form}"
    path.write_bytes(FORMS[form](LINES))
    (file,) = list_files([str(path)])
    known = survey(in_parts(file, 10, 300_000, last))
    assert known.identity == sha256_file(path) == file_identity(file)
    assert known.lines_before == (0, 1, LINES[:300_010].count(b"\n") + 1)
    named = replace(file, fields=Fields(text="body"))
    assert survey(in_parts(named, 10, last)).identity == survey([named]).identity == file_identity(named)


def test_damaged_files_are_hashed_completely(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINES)[:-100] + b"garbage" * 100_000)
    (file,) = list_files([str(path)])
    assert survey(in_parts(file, 10, 1 << 60)).identity == sha256_file(path)


def test_a_file_at_rest_is_read_once(file: InputFile) -> None:
    engine = Counting()
    for parts in ([file], in_parts(file, 10, file.size - 10), in_parts(file, 20, file.size - 20)):
        found = [survey_all([parts], engine, LATER) for _ in range(3)]
        assert found == [[survey(parts)]] * 3
    assert engine.read == 3  # the lines before other parts are another question


def test_a_file_that_was_just_written_is_read_again(file: InputFile) -> None:
    engine = Counting()
    for _ in range(2):
        survey_all([[file]], engine, os.stat(file.path).st_ctime_ns + 10**9)
    assert engine.read == 2


def test_an_edit_is_noticed_even_if_size_and_date_stay(file: InputFile) -> None:
    engine = Counting()
    before = os.stat(file.path)
    (old,) = survey_all([[file]], engine, LATER)
    while True:  # until the clock of the filesystem has moved on
        Path(file.path).write_bytes(LINES.replace(b"line 7", b"line 8"))
        os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if os.stat(file.path).st_ctime_ns != before.st_ctime_ns:
            break
    (new,) = survey_all([[file]], engine, LATER)
    assert engine.read == 2
    assert new.identity == sha256_file(file.path) != old.identity


def test_what_changes_while_it_is_read_is_not_remembered(file: InputFile) -> None:
    survey_all([[file]], Counting(lambda: os.utime(file.path, ns=(1, 1))), LATER)
    survey_all([[file]], Counting(lambda: Path(file.path).rename(f"{file.path}.away")), LATER)
    Path(f"{file.path}.away").rename(file.path)
    engine = Counting()
    survey_all([[file]], engine, LATER)
    assert engine.read == 1


def test_findings_in_several_files_keep_their_order(tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / f"{i}.jsonl").write_bytes(LINES[: 100 * i + 100])
    files = list_files([str(tmp_path)])
    survey_all([[file] for file in files[1::2]], SerialEngine(), LATER)
    calls: list[int] = []
    engine = Counting()
    found = survey_all([[file] for file in files], engine, LATER, lambda: calls.append(1))
    assert [known.identity for known in found] == [file_identity(file) for file in files]
    assert (engine.read, len(calls)) == (3, 6)


def test_another_pipeline_does_not_hash_the_pool_again(
    file: InputFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content still identifies the work: the record is the same as without memory."""
    engine = Counting()
    hashes = []
    monkeypatch.setattr(time, "time_ns", lambda: LATER)
    for name, words in (("a", 1), ("b", 2), ("c", 2)):
        (tmp_path / "p.yaml").write_text(f"name: p\nsteps:\n  - page_length: {{of: word, min: {words}}}\n")
        bound = bind(load_pipeline(tmp_path / "p.yaml"), {})
        record = curate(bound, [file], tmp_path / name, CurateOptions(), engine)
        hashes.append((record.fingerprint, record.inputs["pool"]))
    assert engine.read == 1
    assert hashes[1] == hashes[2] != hashes[0]
    assert hashes[0][1] == hashes[1][1]
    assert files_of_texts([file], "a").files[0].sha256 == sha256_file(file.path)


def test_a_broken_memory_is_named(file: InputFile, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "pool-files.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match="cannot be used"):
        survey_all([[file]], SerialEngine(), LATER)
