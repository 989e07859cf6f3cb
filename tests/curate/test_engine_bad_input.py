"""Every local step of the shipped pipelines accepts any content of a crawl, and decides independently of the batch."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import fasttext
import pyarrow as pa
import pytest

from dclm.core.errors import ConfigError
from dclm.curate.batches import Flow, Opened
from dclm.curate.pipeline import load_pipeline
from dclm.curate.step import Context, Filter, Map
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
TEXTS = {
    "empty": "",
    "blank": " \n\t\u00a0\u3000\x1c\x85\u2028" * 50,
    "nuls": "a\0b\0\0 c\n\0\n" * 100,
    "controls": "".join(map(chr, range(32))) * 50,
    "combining marks": "e" + "\u0301\u0338" * 20_000 + " a\u0323",
    "right to left": "\u202eשלום עולם\u202c مرحبا بالعالم.\n" * 200,
    "joined emoji": "👩\u200d👩\u200d👧 🇩🇪🇫🇷🇩" * 500,
    "ends of Unicode": "\ufeff\ufffe\uffff\ufffd\U0010ffff\ue000 " * 300,
    "one-character lines": "a\n" * 50_000,
    "one long line": "x" * 300_000,
    "one long line of words": "the of and to " * 30_000,
    "marks": "[1][edit]{...}… # ● - \"'“»)]. ? ! \n" * 500,
    "addresses": "http://a.b.com/?q=%00 me@a.b.org 1.2.3.4 255.255.255.255 @@ ..com\n" * 300,
    "case that changes length": "İǅßŉΐﬃK" * 1000,
    "plain": "The quick brown fox jumps over the lazy dog, and that is the end of it.\n" * 30,
}
URLS = (
    None, "", "hard::x", "http://[::1", "http://\0/", "//", "http://user:pw@www.a.com:99/x", "http://münchen.de/é",
    "x" * 100_000, "http://" + "a." * 5_000, "HTTP://WWW.A.COM", "http://a.com/\u202e", "ftp://1.2.3.4", "?", "http://www.",
)  # fmt: skip


LANGUAGES = ("en", None, "zh", "th", "xx", "ar")


def steps() -> dict[str, Map | Filter]:
    """The local steps of all pipelines that ship, each setting once."""
    folders = (PIPELINES, PIPELINES / "examples")
    loaded = [load_pipeline(path) for folder in folders for path in sorted(folder.glob("*.yaml"))]
    local = [s for p in loaded for s in p.steps if isinstance(s, Map | Filter) and s.name != "extract"]
    return {repr(step): step for step in local}


STEPS = list(steps().values())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small stand-in for every file that the steps open."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "list").write_text("a.com\ncom\nthe end\n", encoding="utf-8")
    (folder / "punkt").write_text(
        json.dumps({"abbreviations": ["dr"], "collocations": [], "contexts": {"the": 126}, "starters": ["the"]}),
        "utf-8",
    )
    (folder / "train").write_text("__label__hq good text here\n__label__cc bad text there\n" * 20, encoding="utf-8")
    shape = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0}
    fasttext.train_supervised(str(folder / "train"), **shape).save_model(str(folder / "model"))
    names = {asset for step in STEPS for asset in step.assets}
    kinds = {"punkt-english": "punkt", "lid.176.ftz": "model", "fasttext-oh-eli5": "model", "hq": "model"}
    return {name: str(folder / kinds.get(name, "list")) for name in names}


def decisions(opened: Opened, batch: pa.RecordBatch) -> dict[int, str]:
    """Row → text of the documents that the step keeps."""
    flow = Flow([opened], seed=0)
    after = flow.step(batch, opened, flow.count(opened.step.name, 0))
    after.validate(full=True)
    return dict(zip(after.column("_row").to_pylist(), after.column("text").to_pylist(), strict=True))


def batch_of(texts: list[str]) -> pa.RecordBatch:
    rows = range(len(texts))
    return pa.RecordBatch.from_pydict(
        {
            "id": [str(row) for row in rows],
            "url": pa.array([URLS[row % len(URLS)] for row in rows], pa.string()),
            "source": [f"x#{row}" for row in rows],
            "text": pa.array(texts, pa.string()),
            "quality": [0.5] * len(texts),
            "language": pa.array([LANGUAGES[row % len(LANGUAGES)] for row in rows], pa.string()),
            "language_score": [0.7] * len(texts),
            "previous_word_count": pa.array([3] * len(texts), pa.int64()),
            "_row": list(rows),
        }
    )


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_takes_every_page_alone_and_in_company(step: Map | Filter, files: dict[str, str]) -> None:
    if step.name == "word_count":
        step = type(step)(column="words")
    (opened,) = Opened.all([step], 0, Context(files=files))
    batch = batch_of(list(TEXTS.values()))
    alone: dict[int, str] = {}
    for row in range(batch.num_rows):
        alone |= decisions(opened, batch.slice(row, 1))
    assert alone == decisions(opened, batch)
    assert decisions(opened, batch.slice(0, 0)) == {}


def test_a_step_that_needs_texts_says_so_where_it_gets_pages(files: dict[str, str]) -> None:
    pages = batch_of(list(TEXTS.values())).drop_columns(["text"])
    without_text = set()
    for step in STEPS:
        if step.name == "word_count":
            step = type(step)(column="words")
        try:
            Flow(Opened.all([step], 0, Context(files=files)), 0).run(pages)
            without_text.add(step.name)
        except ConfigError as error:
            (problem,) = error.problems
            assert problem.where == f"step {step.name}"
            assert problem.hint == "add `extract: {with: resiliparse}` as the first step"
    assert without_text == {"threshold", "url_blocklist"}


def test_a_file_packed_ten_times_over_is_rejects_and_no_text(tmp_path: Path) -> None:
    data = b'{"text": "a"}\n'
    for _ in range(10):
        data = gzip.compress(data)
    (tmp_path / "deep.jsonl.gz").write_bytes(data)
    (file,) = list_files([str(tmp_path)])
    rows = [row for batch in read_file(file, Tally()) for row in batch.to_pylist()]
    assert rows
    assert all(row["text"] is None and row["_reject"].startswith("line ") for row in rows)
