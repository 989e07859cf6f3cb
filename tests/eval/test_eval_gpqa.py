"""GPQA: read with the user's password, shuffled as in the reference, and never written unencrypted."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from dclm.assets import LocalFile
from dclm.core.errors import AssetError
from dclm.eval.data.gpqa import ARCHIVE, PASSWORD, convert_gpqa, gpqa_rows
from dclm.eval.data.load import load_parts
from dclm.eval.task import load_task

HEAD = ["Record ID", "Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"]


def table(*questions: str) -> str:
    handle = io.StringIO(newline="")
    writer = csv.writer(handle)
    writer.writerow(HEAD)
    for number, question in enumerate(questions):
        writer.writerow([number, question, "right", "wrong, 1", 'wrong "2"', "None"])
    return handle.getvalue()


def test_choices_are_shuffled_as_the_reference_shuffles_them() -> None:
    """Orders: `random.Random(42)` shuffling [0, 1, 2, 3] repeatedly, as CPython has done since 3.2."""
    rows = convert_gpqa(table("First?", "Second,\nin two lines?", "Third?"))
    given = ["right", "wrong, 1", 'wrong "2"', "nan"]
    orders = [(2, 1, 3, 0), (3, 2, 0, 1), (1, 3, 2, 0)]
    assert [row["query"] for row in rows] == ["First?", "Second,\nin two lines?", "Third?"]
    assert [row["choices"] for row in rows] == [[given[i] for i in order] for order in orders]
    assert [row["gold"] for row in rows] == [order.index(0) for order in orders]


def test_rows_come_out_of_the_archive_and_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "eval" / "gpqa" / "dataset.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dataset/gpqa_diamond.csv", table("Which?", "What?"))
    for name in ("DCLM_ASSETS", "DCLM_SHARED"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(PASSWORD, "any: this archive is open")
    asset = dataclasses.replace(
        ARCHIVE,
        sources=(LocalFile(path="eval/gpqa/dataset.zip"),),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    rows = gpqa_rows(load_task("gpqa_diamond"), asset)
    assert [row["query"] for row in rows] == ["Which?", "What?"]
    texts = [file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert not any(b"Which?" in text for text in texts)


def test_without_a_password_the_task_is_missing_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(AssetError, match="DCLM_GPQA_PASSWORD is not set"):
        load_parts(load_task("gpqa_main"))


@pytest.mark.shared
def test_a_wrong_password_is_told(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "not this one")
    with pytest.raises(AssetError, match=r"task gpqa_main\ncannot be decrypted"):
        load_parts(load_task("gpqa_main"))
