"""The page on an artifact: exact numbers, the same bytes at any number of workers, proof against hostile text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dclm.documents.tokens
from dclm.charts.escape import escape, excerpt
from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.documents.artifact import KEPT, Rows
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample
from dclm.report.ablation.passed import PASSED_SHOWN
from dclm.report.build import Report, build_report
from dclm.report.page import render_report
from dclm.report.pictures.histogram import Cut, _Maker, totals
from dclm.report.pictures.style import POLICY
from dclm.report.pictures.svg import short

PIPELINE = """
name: small
steps:
  - extract
  - page_length: {of: word, min: 50, max: 100000, ignore_punctuation: true}
  - word_count: {column: words}
  - exact: {of: text}
  - quantile: {column: words, keep_top: 0.75}
"""
HOSTILE = (
    "<script>alert(1)</script>", "</style><script>x</script>", '"><img src=x onerror=alert(1)>', "a\0b\x1b[31m",
    "\u202eevil\u202c \u2066x", "z" + "\u0301" * 500, "&lt;b&gt; &amp;#x3c;", "]]><!-- -- >", "\u2028</p>",
    "\ufeff\ufffe", "w" * 100_000,
)  # fmt: skip


def run(pipeline: str, paths: list[Path], out: Path, engine: Engine | None = None) -> Record:
    file = out.parent / f"{out.name}.yaml"
    file.write_text(pipeline)
    options = CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0)
    return curate(
        bind(load_pipeline(file)), list_files([str(p) for p in paths]), out, options, engine or SerialEngine()
    )


def text_pool(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    pool = make_sample(root / "pool", seed=3, documents=120, files=2)
    run(PIPELINE, [pool / "warc"], root / "out")
    return root


@pytest.fixture(scope="module")
def report(sample: Path) -> Report:
    return build_report(sample / "out", None)


def test_documents_and_characters_are_exact_at_every_step(sample: Path, report: Report) -> None:
    ledger = pa.concat_tables([pq.read_table(p) for p in sorted((sample / "out" / "ledger").iterdir())])
    texts = [pq.read_table(p)["text"].to_pylist() for p in sorted((sample / "out" / "documents").iterdir())]
    rows = ledger.to_pylist()
    steps = {step.index: step for step in report.artifact.steps}
    assert steps[-1].documents_in == len(rows) == 120
    for index, step in steps.items():
        assert step.dropped == sum(r["step_index"] == index and r["reason"] is None for r in rows)
        assert step.rejected == sum(r["step_index"] == index and r["reason"] is not None for r in rows)
        after = [r["characters"] for r in rows if r["step_index"] is None or r["step_index"] > index]
        if index >= 0:  # no step of this pipeline edits the extracted text
            assert step.characters_out == sum(after)
            assert step.documents_out == len(after)
    assert steps[4].characters_out == sum(len(t) for shard in texts for t in shard)
    assert min(steps[i].dropped for i in (1, 3, 4)) > 0


def test_histograms_count_every_record_and_show_the_literal_of_the_quantile(report: Report) -> None:
    by_name = {h.name: h for h in report.histograms}
    assert set(by_name) == {"characters", "words"}
    for histogram in by_name.values():
        counted = histogram.kept.sum() + histogram.cut.sum() + histogram.other.sum() + histogram.missing
        assert counted == 120
        assert histogram.kept.sum() == report.artifact.count("kept")
    words = by_name["words"]
    decisions = report.artifact.record.counts["decisions"]
    assert [cut.low for cut in words.cuts] == [decisions["4:quantile"]["cut"]]  # type: ignore[index]
    assert words.cut.sum() == next(s.dropped for s in report.artifact.steps if s.index == 4)
    assert f">{words.cuts[0].low:.6g}</text>" in render_report(report)


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ("keep_top: 0.4", 5, None),
        ("keep_bottom: 0.4", None, 3),
        ("keep_between: [0.2, 0.6]", 2, 5),
        ("keep_between: [0, 0.6]", None, 5),
        ("keep_top: 0.5, per: domain", None, None),
        ("keep_between: [0.2, 0.6], per: domain", None, None),
    ],
)
def test_every_kind_of_quantile_has_its_cuts_in_the_histogram(
    tmp_path: Path, settings: str, low: float | None, high: float | None
) -> None:
    rows = [{"text": "word " * (1 + n % 7), "url": f"http://{'ab'[n % 2]}.org"} for n in range(28)]
    steps = f"- word_count: {{column: words}}\n- quantile: {{column: words, {settings}}}\n"
    run(f"name: p\nsteps:\n{steps}", [text_pool(tmp_path / "pool.jsonl", rows)], tmp_path / "out")
    found = build_report(tmp_path / "out", None)
    words = next(h for h in found.histograms if h.name == "words")
    assert [(cut.low, cut.high) for cut in words.cuts] == [(low, high)]
    dropped = found.artifact.count("dropped")
    assert totals(words) == {"kept": 28 - dropped, "cut": dropped, "other": 0}
    assert dropped > 0
    assert "step 1, quantile" in render_report(found)


def test_a_page_in_another_language_is_not_below_the_cut_of_the_language_score() -> None:
    cut = Cut(step=2, column="language_score", label="step 2, language", low=0.65)
    values = [0.9, 0.3, 0.99, 0.64, 0.5, 0.2]
    steps = [KEPT, 2, 2, 2, 5, 2]
    rows = Rows(
        pa.record_batch({"language_score": values}), np.array(steps, np.int32), np.array([False] * 5 + [True], np.bool_)
    )
    maker = _Maker(0.0, 1.0, [cut])
    maker.add(np.array(values), rows)
    assert totals(maker.result("language_score", [cut])) == {"kept": 1, "cut": 2, "other": 3}


def test_lists_add_up(report: Report) -> None:
    for table in report.tables:
        if table.title == "file of the pool":
            files = table.lists["most lost"]
            assert sum(group.read for group in files) == 120
            assert sum(group.kept for group in files) == report.artifact.count("kept")
        if table.title.startswith("reason"):
            assert sum(group.rejected for group in table.lists["most frequent"]) == report.artifact.count("rejected")


def test_samples_are_of_the_step_and_the_same_however_the_pool_is_cut(sample: Path, report: Report) -> None:
    ledger = pa.concat_tables([pq.read_table(p) for p in sorted((sample / "out" / "ledger").iterdir())])
    step = dict(zip(ledger["id"].to_pylist(), ledger["step_index"].to_pylist(), strict=True))
    assert all(step[s.id] == index for index, samples in report.dropped.items() for s in samples)
    assert all(step[s.id] is None for s in report.kept)
    rows = [{"id": f"d{i}", "text": f"text {i}"} for i in range(60)]
    drawn = []
    for parts in (1, 3):
        folder = sample / f"cut-{parts}"
        folder.mkdir()
        for part in range(parts):
            text_pool(folder / f"{part}.jsonl", rows[part * 60 // parts : (part + 1) * 60 // parts])
        run("name: n\nsteps: [{word_count: {column: n}}]", [folder], sample / f"cut-out-{parts}")
        drawn.append([s.id for s in build_report(sample / f"cut-out-{parts}", None).kept])
    assert drawn[0] == drawn[1]
    assert sorted(drawn[0]) != drawn[0]


def test_what_a_step_let_through_stands_beside_what_it_dropped(sample: Path, report: Report) -> None:
    ledger = pa.concat_tables([pq.read_table(p) for p in sorted((sample / "out" / "ledger").iterdir())]).to_pylist()
    rows = {row["id"]: row for row in ledger}
    assert set(report.passed) == set(report.dropped)
    for index, passed in report.passed.items():
        assert 0 < len(passed) <= PASSED_SHOWN
        for one in passed:
            left = rows[one.sample.id]["step_index"]
            assert left == one.left_at
            assert left is None or left > index
    assert any(one.left_at is not None for passed in report.passed.values() for one in passed)
    (cut,) = (c for h in report.histograms for c in h.cuts if c.low is not None)
    numbers = [one.number for one in report.passed[cut.step]]
    assert numbers == [rows[one.sample.id]["words"] for one in report.passed[cut.step]]
    assert numbers == sorted(rows[s.id]["words"] for s in report.kept)[:PASSED_SHOWN]
    assert "dropped later, by" in render_report(report)


def test_the_page_is_the_same_at_one_and_two_workers_and_in_another_place(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for part in range(2):
        rows = [{"id": f"{part}-{i}", "text": "w " * (7 * i % 40), "url": f"http://h{i % 7}/"} for i in range(50)]
        text_pool(tmp_path / "pool" / f"{part}.jsonl", rows)
    steps = "name: n\nsteps: [{page_length: {of: word, min: 5}}, {word_count: {column: n}}]"
    run(steps, [tmp_path / "pool"], tmp_path / "one")
    run(steps, [tmp_path / "pool"], tmp_path / "two", LocalEngine(2))
    page = render_report(build_report(tmp_path / "one", None))
    assert render_report(build_report(tmp_path / "two", None)) == page
    assert str(tmp_path) not in page


class Tags(HTMLParser):
    """Elements and attributes that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}


def test_pages_can_do_nothing_to_the_report(tmp_path: Path) -> None:
    rows = [{"id": f"i{n}{h[:40]}", "url": f"http://{h[:60]}/", "text": h + f" {n}"} for n, h in enumerate(HOSTILE * 2)]
    rows += [{"id": f"k{h[:40]}", "url": h[:300], "text": h + " and more words " * 9} for h in HOSTILE]
    raw = "".join(json.dumps(row) + "\n" for row in rows) + '{"id": "lone", "text": "\\ud800 surrogate"}\n'
    (tmp_path / "pool<b>.jsonl").write_text(raw)
    pipeline = "name: '<script>n</script>'\nsteps: [{page_length: {of: word, min: 8}}, {word_count: {column: '<i>&'}}]"
    run(pipeline, [tmp_path / "pool<b>.jsonl"], tmp_path / "out")
    found = build_report(tmp_path / "out", None)
    assert found.kept
    assert found.dropped
    page = render_report(found)
    tags = Tags(page)
    assert not {"script", "img", "iframe", "a", "link", "base", "form"} & set(tags.seen)
    assert tags.seen["style"] == tags.seen["body"] == 1
    assert tags.seen["title"] == 1 + page.count('role="img"')
    assert not any(name.startswith("on") or name in ("href", "src", "style") for name in tags.attributes)
    assert not re.search("[\0\x1b\u202a-\u202e\u2066-\u2069\u2028\ufffe\ud800-\udfff]", page)
    assert "default-src &#x27;none&#x27;" in page
    assert "script-src" not in POLICY
    assert len(page) < 400_000
    assert "\u0301" * 5 not in page


@pytest.mark.parametrize("text", ["\ud800", "\udfff\ud800x", "a\u202eb", "\x85\x9f", "\u2066<", "\U000e0041"])
def test_what_cannot_be_seen_is_named(text: str) -> None:
    shown = escape(text)
    assert "⟨U+" in shown
    shown.encode("utf-8")
    assert "<" not in shown


def test_an_excerpt_says_that_it_is_one() -> None:
    assert excerpt("  a \n b ", 10) == "a b"
    assert excerpt("abcdef", 3) == "abc …"
    assert excerpt(" " * 1000 + "x", 3) == " …"


def test_an_artifact_without_documents_has_a_page(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "p.jsonl", [{"id": str(i), "text": "short"} for i in range(30)])
    run("name: none\nsteps: [{page_length: {of: word, min: 5}}]", [pool], tmp_path / "out")
    found = build_report(tmp_path / "out", None)
    page = render_report(found)
    assert "no document was kept" in found.alarms
    assert "step 0, page_length, drops 30 of 30 (100.0%)" in found.alarms
    assert "Nothing was kept." in page


def test_rejects_alone_have_a_page(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("not json\n" * 25)
    run("name: none\nsteps: [{page_length: {of: word, min: 5}}]", [tmp_path / "p.jsonl"], tmp_path / "out")
    found = build_report(tmp_path / "out", None)
    assert "the reader rejects 25 of 25 (100.0%)" in found.alarms
    (reasons,) = (t.lists["most frequent"] for t in found.tables if t.title.startswith("reason"))
    assert sum(group.rejected for group in reasons) == 25
    assert "No step added a number" in render_report(found)


def test_a_file_and_a_domain_that_lose_nearly_everything_raise_alarms(tmp_path: Path) -> None:
    good = [{"id": f"g{i}", "url": f"https://good.example/{i}", "text": "many good words here"} for i in range(60)]
    bad = [{"id": f"b{i}", "url": f"https://www.bad.example:8080/{i}", "text": "bad"} for i in range(40)]
    (tmp_path / "pool").mkdir()
    text_pool(tmp_path / "pool" / "a.jsonl", good)
    text_pool(tmp_path / "pool" / "b.jsonl", bad)
    run("name: n\nsteps: [{page_length: {of: word, min: 2}}]", [tmp_path / "pool"], tmp_path / "out")
    assert build_report(tmp_path / "out", None).alarms == (
        "file b.jsonl loses 40 of 40 (100.0%); 24 kept were expected",
        "domain bad.example loses 40 of 40 (100.0%); 24 kept were expected",
    )


def test_another_artifact_is_refused(sample: Path) -> None:
    with pytest.raises(ConfigError, match="kind pool, allowed: documents"):
        build_report(sample / "pool", None)


def test_show_and_report_give_the_same_token_numbers(
    sample: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_ = Path(__file__).resolve().parents[2] / "recipes" / "experiments" / "bytes.json"
    monkeypatch.setattr(dclm.documents.tokens, "resolve", lambda name: SimpleNamespace(path=bytes_))
    estimate = build_report(sample / "out", "bytes").tokens
    assert estimate is not None
    capsys.readouterr()
    main(["show", str(sample / "out"), "--tokenizer", "bytes", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert {int(step): tokens for step, tokens in shown["tokens"]["out"].items()} == dict(estimate.out)
    main(["show", str(sample / "out"), "--tokenizer", "bytes", "--no-samples"])
    printed = capsys.readouterr().out
    page = render_report(build_report(sample / "out", "bytes"))
    for tokens in estimate.out.values():
        assert short(tokens) in printed
        assert short(tokens) in page
