"""Layouts of public corpora are recognized, announced and read, and a field that is null everywhere stops a run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_archives import read_all

from dclm.cli.main import main
from dclm.core.record import read_record
from dclm.pool.files import list_files
from dclm.pool.texts.recognize import LAYOUTS, describe_pool, recognize

URL, DATE, TEXT = "http://a.example/x", "2022-01-01T00:00:00Z", "Some text of a page."
ROWS: dict[str, dict[str, object]] = {
    "C4": {"text": TEXT, "timestamp": DATE, "url": URL},
    "FineWeb": {
        "text": TEXT, "id": "i", "dump": "CC-MAIN-2022-05", "url": URL, "date": DATE, "file_path": "s3://x",
        "language": "en", "language_score": 0.9, "token_count": 5,
    },
    "FineWeb-Edu": {
        "text": TEXT, "id": "i", "dump": "d", "url": URL, "date": DATE, "file_path": "s3://x", "language": "en",
        "language_score": 0.9, "token_count": 5, "score": 3.5, "int_score": 4,
    },
    "FineWeb-2": {
        "text": TEXT, "id": "i", "dump": "d", "url": URL, "date": DATE, "file_path": "s3://x", "language": "deu",
        "language_score": 0.9, "language_script": "Latn", "minhash_cluster_size": 2,
    },
    "DCLM-Baseline": {
        "bff_contained_ngram_count_before_dedupe": 0, "language_id_whole_page_fasttext": {"en": 0.9},
        "metadata": {"WARC-Record-ID": "<urn:uuid:i>", "WARC-Date": DATE, "WARC-Target-URI": URL},
        "previous_word_count": 100, "text": TEXT, "url": URL, "warcinfo": "robots: classic",
        "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob": 0.5,
    },
    "DCLM-Pool and DCLM-RefinedWeb": {
        "text": TEXT, "url": URL, "metadata": {"WARC-Record-ID": "<urn:uuid:i>", "WARC-Date": DATE}, "warcinfo": "x",
    },
    "Dolma": {
        "id": "i", "text": TEXT, "source": "common-crawl", "added": DATE, "created": DATE, "metadata": {"url": URL},
    },
    "OSCAR": {
        "content": TEXT, "metadata": {"identification": {"label": "en", "prob": 0.9}},
        "warc_headers": {"warc-target-uri": URL, "warc-record-id": "<urn:uuid:i>", "warc-date": DATE},
    },
    "RedPajama-V2": {"raw_content": TEXT, "doc_id": "i", "meta": json.dumps({"url": URL, "date_download": DATE})},
    "RefinedWeb": {"content": TEXT, "url": URL, "timestamp": DATE, "dump": "d", "segment": "s", "image_urls": []},
    "The Pile": {"text": TEXT, "meta": {"pile_set_name": "Pile-CC"}},
    "SlimPajama": {"text": TEXT, "meta": {"redpajama_set_name": "RedPajamaCommonCrawl"}},
    "CulturaX": {"text": TEXT, "timestamp": DATE, "url": URL, "source": "mC4"},
    "HPLT": {"u": URL, "ts": DATE, "text": TEXT, "lang": ["eng_Latn"], "id": "i"},
    "Wikipedia of Hugging Face": {"id": "7", "url": URL, "title": "T", "text": TEXT},
    "datatrove": {"text": TEXT, "id": "i", "metadata": {"url": URL, "date": DATE}},
    "The Stack": {"content": TEXT, "max_stars_repo_path": "a.py", "ext": "py"},
    "RedPajama": {"text": TEXT, "meta": json.dumps({"url": URL, "timestamp": DATE}), "red_pajama_subset": "c4"},
}  # fmt: skip
WITHOUT_URL = {"The Pile", "SlimPajama", "The Stack"}
WITHOUT_DATE = {*WITHOUT_URL, "Wikipedia of Hugging Face"}
FORMS = ("jsonl", "jsonl.gz", "struct", "text", "map")


def write(folder: Path, row: dict[str, object], form: str) -> Path | None:
    """The row in a file; Parquet has nested fields as structs, JSON text or maps. None: the form is not applicable."""
    if form.startswith("jsonl"):
        path = folder / f"part.{form}"
        data = "".join(json.dumps(row) + "\n" for _ in range(3)).encode()
        path.write_bytes(gzip.compress(data) if form.endswith("gz") else data)
        return path
    columns = {}
    for name, value in row.items():
        if isinstance(value, dict) and form == "text":
            columns[name] = pa.array([json.dumps(value)] * 3)
        elif isinstance(value, dict) and form == "map":
            if not all(isinstance(inner, str) for inner in value.values()):
                return None
            columns[name] = pa.array([list(value.items())] * 3, pa.map_(pa.string(), pa.string()))
        else:
            columns[name] = pa.array([value] * 3)
    path = folder / "part.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("corpus", ROWS)
def test_public_layouts_are_recognized_and_read(tmp_path: Path, corpus: str, form: str) -> None:
    path = write(tmp_path, ROWS[corpus], form)
    if path is None:
        return
    (file,) = list_files([str(path)])
    layout = recognize(file)
    assert layout is not None
    assert layout.corpus == corpus
    table, tally = read_all(file)
    assert tally.damage == []
    assert table["text"].to_pylist() == [TEXT] * 3
    assert table["url"].to_pylist() == [None if corpus in WITHOUT_URL else URL] * 3
    assert table["date"].to_pylist() == [None if corpus in WITHOUT_DATE else DATE] * 3
    assert tally.fields == {
        "documents": 3, "url": 0 if corpus in WITHOUT_URL else 3, "date": 0 if corpus in WITHOUT_DATE else 3,
    }  # fmt: skip


def test_spreadsheets_have_layouts_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'url,timestamp,text,note\n{URL},{DATE},"{TEXT}",x\n', encoding="utf-8")
    (tmp_path / "b.tsv").write_text('text\n"open', encoding="utf-8")
    assert describe_pool(list_files([str(tmp_path)]))[1:] == [
        "a.csv: layout of C4; text in `text`, url in `url`, date in `timestamp`; no id in the first documents; "
        "not read: note",
    ]


def test_every_layout_has_its_example() -> None:
    assert {name for name, _ in LAYOUTS} == set(ROWS)


def test_what_was_recognized_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for corpus in ("FineWeb-Edu", "C4"):
        (tmp_path / "in" / corpus).mkdir(parents=True)
        write(tmp_path / "in" / corpus, ROWS[corpus], "jsonl")
    (tmp_path / "in" / "README.md").write_text("about")
    (tmp_path / "in" / "notes.txt").write_text("about")
    lines = describe_pool(list_files([str(tmp_path / "in")]))
    assert lines == [
        "2 files, 0.0 MB; not read: 2 other files, first: README.md",
        "C4/part.jsonl: layout of C4; text in `text`, url in `url`, date in `timestamp`; no id in the first documents",
        "FineWeb-Edu/part.jsonl: layout of FineWeb-Edu; text in `text`, url in `url`, id in `id`, date in `date`; "
        "not read: dump, file_path, language, language_score, token_count, score, int_score",
    ]
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - newlines: {max_consecutive: 2}\n")
    main(["curate", str(tmp_path / "p.yaml"), "--pool", str(tmp_path / "in"), "--out", str(tmp_path / "o")])
    said = capsys.readouterr().err
    assert all(f"pool: {line}" in said for line in lines)
    counts = read_record(tmp_path / "o").counts
    assert counts["unread"] == {"files": 2, "names": ["README.md", "notes.txt"]}
    assert counts["fields"] == {"date": 6, "documents": 6, "url": 6}


def test_an_unknown_layout_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x", "link": "y"}\n')
    (tmp_path / "b.jsonl").write_text("not JSON\n")
    (file, broken) = list_files([str(tmp_path)])
    layout = recognize(file)
    assert layout is not None
    assert (layout.corpus, layout.places, layout.others) == (None, {}, ("body", "link"))
    assert recognize(broken) is None


@pytest.mark.parametrize(
    ("step", "field", "row"),
    [
        ("url_blocklist: {words: [blocked.example], match: host}", "url", {"text": TEXT, "link": URL}),
        ("exact: {of: url}", "url", {"text": TEXT, "link": URL}),
        ("exact: {of: text, keep: newest}", "date", {"text": TEXT, "when": DATE}),
        ("quantile: {column: language_score, keep_top: 0.5}", "language_score", {"text": TEXT}),
    ],
)
def test_a_field_that_a_step_needs_and_no_document_has_stops_the_run(
    tmp_path: Path, step: str, field: str, row: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, row, "jsonl")
    recipe_fields = "" if field != "language_score" else "\n      keep: [language_score]"
    (tmp_path / "p.yaml").write_text(f"name: p\nsteps:\n  - {step}\n")
    (tmp_path / "r.yaml").write_text(
        "name: r\nscale: tiny\ntokenizer: gpt-neox-20b\ntokens: 40960\ntasks: [copa]\ndata:\n  - name: d\n"
        f"    pipeline: p.yaml\n    pool:\n      jsonl: {path}{recipe_fields}\n"
    )
    with pytest.raises(SystemExit) as exit:
        main(["run", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "o"), "--until", "curate"])
    assert exit.value.code == 3
    said = capsys.readouterr().err
    assert f"`{field}` is null in all 3 documents" in said
    assert f"step {step.partition(':')[0]}" in said
    assert not (tmp_path / "o" / "record.json").exists()


def test_a_field_that_one_document_has_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "b.jsonl").write_text(f'{{"text": "x", "url": "{URL}"}}\n')
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - url_blocklist: {words: [b.example], match: host}\n")
    command = ["curate", str(tmp_path / "p.yaml"), "--out", str(tmp_path / "o"), "--pool"]
    main([*command, str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])
    assert read_record(tmp_path / "o").counts["kept"] == 2
