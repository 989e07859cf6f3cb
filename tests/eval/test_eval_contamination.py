"""Items in training documents: planted ones are found, others are not, and the clean score is that of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import FileEntry, Record, write_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.curate.step import Context
from dclm.dedup.substring.step import Substring
from dclm.eval.contamination import contamination, item_texts
from dclm.eval.data.load import TaskPart
from dclm.eval.data.rows import Row
from dclm.eval.run.unit import ITEMS
from dclm.eval.suite import Suite, suite_of
from dclm.eval.task import load_task
from dclm.pool.files import list_files


def long_row(number: int) -> Row:
    words = " ".join(f"word{number}x{i}" for i in range(20))
    return {"query": f"{words}\nAnswer:", "choices": ["yes of course", "no"], "gold": number % 2}


ROWS = [long_row(0), long_row(1), long_row(2), {"query": "short", "choices": ["a", "b"], "gold": 0}]


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """One task with the rows above as its data."""
    part = TaskPart("", list(range(len(ROWS))), ROWS, ROWS)
    monkeypatch.setattr("dclm.eval.data.load.load_parts", lambda task: [part])
    return suite_of(("boolq",))


def documents(folder: Path, texts: list[str]) -> Path:
    path = folder / "documents" / "00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"id": [str(i) for i in range(len(texts))], "text": texts}), path)
    entry = FileEntry(path="documents/00000.parquet", sha256=sha256_file(path), bytes=1, rows=len(texts))
    write_record(folder, Record(kind="documents", name=folder.name, fingerprint="d", config={}, files=(entry,)))
    return folder


def scores(folder: Path, correct: list[bool], data: str | None) -> Path:
    folder.mkdir()
    rows = [
        {"task": "boolq", "row": i, "cluster": i, "correct": right, "trimmed": False} for i, right in enumerate(correct)
    ]
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), folder / "items.parquet")
    (folder / "scores.json").write_text(json.dumps({"tasks": {"boolq": {"data_sha256": data}}}))
    return folder


def test_planted_items_are_found_whatever_their_punctuation(suite: Suite, tmp_path: Path) -> None:
    planted = "Before. " + str(ROWS[1]["query"]).split("\n")[0].upper().replace(" ", ", ") + "! After"
    found = contamination([documents(tmp_path / "d", ["nothing here " * 20, planted])], suite)
    task = found.tasks["boolq"]
    assert (task.n, task.contaminated, task.short, found.documents) == (4, 1, 1, 2)
    assert task.fraction == 0.25
    assert 0.0 < task.covered < 0.25
    assert found.inputs == {"d": "d"}


def test_the_clean_score_is_that_of_the_items_that_do_not_occur(suite: Suite, tmp_path: Path) -> None:
    where = [documents(tmp_path / "d", [str(ROWS[0]["query"]), str(ROWS[2]["query"])])]
    sha = load_task("boolq").metadata.data.sha256
    task = contamination(where, suite, scores=scores(tmp_path / "s", [True, False, True, True], sha)).tasks["boolq"]
    assert (task.contaminated, task.accuracy, task.clean_n, task.clean_accuracy) == (2, 0.75, 2, 0.5)
    limited = contamination(where, suite, scores=scores(tmp_path / "l", [True], sha)).tasks["boolq"]
    assert (limited.accuracy, limited.clean_n, limited.clean_accuracy) == (1.0, 0, None)
    with pytest.raises(DataError, match=r"task boolq\n.*made from other data"):
        contamination(where, suite, scores=scores(tmp_path / "o", [True], "other"))


def test_instructions_are_no_contamination() -> None:
    line = "the same long instruction that stands before every single item of this very task here"
    rows: dict[int, Row] = {i: {**long_row(i), "query": f"{line}\n{long_row(i)['query']}"} for i in range(4)}
    texts = item_texts(load_task("boolq"), rows)
    assert not any(line in text for text in texts)
    assert all(f"word{i}x19" in text for i, text in enumerate(texts))


def test_the_right_answer_belongs_to_an_item_of_every_kind() -> None:
    kinds: dict[str, tuple[Row, str]] = {
        "copa": ({"query": "q", "choices": ["a", "b"], "gold": 1}, "q b"),
        "winograd": ({"context_options": ["c", "d"], "continuation": "e", "gold": 0}, "c e"),
        "lambada_openai": ({"context": "c", "continuation": "e"}, "c e"),
        "triviaqa_sm_sub": ({"context": "c", "answer": "x", "aliases": ["y"]}, "c x"),
    }
    for label, (row, text) in kinds.items():
        assert item_texts(load_task(label), {0: row}) == [text]


def test_the_command_prints_and_writes_and_refuses(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = documents(tmp_path / "d", [str(ROWS[0]["query"])])
    out = tmp_path / "c.json"
    main(["contamination", str(where), "--tasks", "boolq", "--out", str(out)])
    assert "25.00" in capsys.readouterr().out
    assert json.loads(out.read_text())["tasks"]["boolq"]["fraction"] == 0.25
    with pytest.raises(SystemExit) as caught:
        main(["contamination", str(where)])
    assert caught.value.code == 2
    write_record(tmp_path / "d", Record(kind="tokens", name="t", fingerprint="f", config={}))
    with pytest.raises(ConfigError, match="kind tokens"):
        contamination([where], suite)


def test_an_index_of_items_finds_them_in_documents_as_plain_python_does(suite: Suite, tmp_path: Path) -> None:
    """`dclm dedup items` and `dclm dedup index`, then a step against the index, on planted spans of items."""
    main(["dedup", "items", "--tasks", "boolq", "--out", str(tmp_path / "items.jsonl")])
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["id"] for item in items] == ["boolq#0", "boolq#1", "boolq#2", "boolq#3"]
    length = 8
    step = f"substring: {{min_tokens: {length}}}"
    main(["dedup", "index", str(tmp_path / "items.jsonl"), "--step", step, "--out", str(tmp_path / "index")])
    words = [item["text"].split() for item in items]
    copied = "the same words twice in this corpus and nothing of any item"
    texts = [
        "clean text " * 5,
        f"before {' '.join(words[1][2:12])} after",  # 10 words of an item
        f"before {' '.join(words[2][:7])} after",  # one word too few
        copied,
        copied,
        " ".join([*words[0][5:13], "between", *words[2][1:9]]),
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    known = Substring(min_tokens=length, keep="all", against=(str(tmp_path / "index"),), action="report")
    pipeline = bind(Pipeline(name="contamination", steps=(known,)))
    files = list_files([str(tmp_path / "corpus.jsonl")])
    record = curate(pipeline, files, tmp_path / "out", CurateOptions(), SerialEngine())
    assert record.counts["kept"] == len(texts)
    windows = {tuple(item[i : i + length]) for item in words for i in range(len(item) - length + 1)}
    expected = set()
    for row, text in enumerate(texts):
        found = text.split()
        for i in range(len(found) - length + 1):
            if tuple(found[i : i + length]) in windows:
                expected |= {(row, place) for place in range(i, i + length)}
    spans = pq.read_table(tmp_path / "out" / "tables" / "00-substring.spans.parquet").to_pylist()
    told = {
        (span["row"], place)
        for span in spans
        for place in range(
            len(texts[span["row"]][: span["start"]].split()), len(texts[span["row"]][: span["end"]].split())
        )
    }
    assert told == expected
    assert {row for row, _ in expected} == {1, 5}
    with pytest.raises(ConfigError, match="finds nothing without `against`"):
        Substring(keep="all").open(Context())
