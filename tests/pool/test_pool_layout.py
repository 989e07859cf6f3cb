"""The fields of public corpora, and how a recipe names others."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_archives import read_all

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.pool.files import file_identity, list_files
from dclm.pool.spec import PoolMap, resolve_pool
from dclm.pool.texts.layout import FieldFinder, FieldName, Fields, look_up

URL, DATE, ID = "http://a.example/1", "2022-04-25T00:00:00Z", "7b1c74ae-e2ca-4a35-8d0e-4cc51e4c5a3a"


def load(value: dict[str, object]) -> PoolMap:
    return build(PoolMap, parse_yaml(json.dumps(value), "r.yaml"))


LAYOUTS = {
    "C4": {"text": "t", "url": URL, "timestamp": DATE},
    "datatrove": {"text": "t", "id": ID, "metadata": {"url": URL, "date": DATE}},
    "FineWeb-Edu": {"text": "t", "id": f"<urn:uuid:{ID}>", "url": URL, "date": DATE, "score": 2.6, "int_score": 3},
    "Dolma": {"text": "t", "id": ID, "created": DATE, "added": "2023-01-01", "metadata": {"url": URL}},
    "Dolma, added": {"text": "t", "id": ID, "added": DATE, "metadata": {"url": URL}},
    "DCLM-Baseline": {
        "text": "t",
        "url": URL,
        "metadata": {"WARC-Record-ID": f"<urn:uuid:{ID}>", "WARC-Date": DATE, "WARC-Target-URI": URL},
        "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob": 0.05,
    },
    "OSCAR": {
        "content": "t",
        "warc_headers": {"warc-target-uri": URL, "warc-record-id": f"<urn:uuid:{ID}>", "warc-date": DATE},
        "metadata": {"identification": {"label": "en", "prob": 0.9}},
    },
    "RedPajama-V2": {"raw_content": "t", "doc_id": ID, "url": URL, "date_download": DATE},
    "RedPajama-V2, meta": {"raw_content": "t", "doc_id": ID, "meta": json.dumps({"url": URL, "date_download": DATE})},
    "metadata as JSON": {"text": "t", "id": ID, "metadata": json.dumps({"url": URL, "date": DATE})},
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_fields_of_public_layouts_are_found(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text(json.dumps(LAYOUTS[name]) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([LAYOUTS[name]]), path)
    table, tally = read_all(list_files([str(path)])[0])
    (row,) = table.to_pylist()
    assert (row["text"], row["url"], row["date"], row["_reject"]) == ("t", URL, DATE, None)
    if name != "C4":
        assert row["id"] == ID
    assert tally.damage == []


def test_maps_and_numbers_are_fields_too(tmp_path: Path) -> None:
    pairs = pa.array([[("url", URL), ("date", "2020")]], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"text": ["t"], "id": [12], "metadata": pairs}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "t", "id": 12, "metadata": {"url": URL, "date": "2020"}}))
    for file in list_files([str(tmp_path)]):
        (row,) = read_all(file)[0].to_pylist()
        assert (row["id"], row["url"], row["date"]) == ("12", URL, "2020")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_recipe_names_fields_and_what_to_keep(tmp_path: Path, kind: str) -> None:
    rows = [
        {"body": "t", "link": URL, "n": {"key": "k1"}, "seen": "2020", "score": 2.5, "lang": "en", "text": "other"},
        {"body": "u", "link": None, "n": {"key": "k2"}, "seen": None, "score": None, "lang": None, "text": "other"},
    ]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    named = {"text": "body", "url": "link", "id": "n.key", "date": "seen"}
    spec = load({kind: [str(path)], **named, "keep": {"score": "number", "lang": "text"}})
    (file,) = resolve_pool(spec, tmp_path)
    table, _ = read_all(file)
    assert [(r["text"], r["url"], r["id"], r["date"], r["score"], r["lang"]) for r in table.to_pylist()] == [
        ("t", URL, "k1", "2020", 2.5, "en"),
        ("u", None, "k2", None, None, None),
    ]
    assert file_identity(file) != file_identity(list_files([str(path)])[0])
    short = load({kind: [str(path)], "keep": ["score"]})
    assert read_all(resolve_pool(short, tmp_path)[0])[0]["score"].to_pylist() == [2.5, None]


@pytest.mark.parametrize(
    "wrong", [{"warc": ["a.warc"], "text": "body"}, {"jsonl": ["a.jsonl"], "keep": ["text"]}, {"text": "body"}]
)
def test_names_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        load(wrong)


@pytest.mark.parametrize("column", ["id", "source", "url"])
def test_nulls_and_repeats_in_a_file_that_only_looks_like_an_artifact(tmp_path: Path, column: str) -> None:
    rows = [{"id": "a", "url": URL, "date": None, "source": "cc", "text": "t"} for _ in range(3)]
    rows[1][column] = None
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "a.parquet")
    table, _ = read_all(list_files([str(tmp_path)])[0])
    assert table["source"].to_pylist() == ["a.parquet#0", "a.parquet#1", "a.parquet#2"]


@pytest.mark.shared
def test_the_layouts_of_the_report_have_their_fields(shared: Path) -> None:
    for file in list_files([str(shared / "cases/15_public_layouts")]):
        for row in read_all(file)[0].to_pylist():
            assert row["text"]
            assert row["url"] or "rpj" in file.name
            assert row["date"] or not file.name.startswith("dates")


FIELDS: tuple[FieldName, ...] = ("text", "url", "id", "date")
NAMES = sorted({path for field in FIELDS for path in Fields().paths(field)})
NAMED = st.sampled_from([*NAMES, *{name.partition(".")[0] for name in NAMES}, *(n.rpartition(".")[2] for n in NAMES)])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(NAMED, inner, max_size=4) | st.dictionaries(NAMED, inner, max_size=2).map(json.dumps),
    max_leaves=8,
)


@given(value=st.dictionaries(NAMED, VALUES, max_size=8), more=st.sampled_from([0, 100]), own=st.none() | NAMED)
@settings(max_examples=300)
def test_only_places_that_cannot_hold_a_field_are_passed_over(
    value: dict[str, object], more: int, own: str | None
) -> None:
    value |= {f"other {number}": None for number in range(more)}  # with this many names, all places are tried
    fields = Fields(url=own)
    finder = FieldFinder(fields)
    for _ in range(2):  # the second time, the names are known
        for field, paths in finder.paths_in(value)._asdict().items():
            found = [look_up(value, path) for path in fields.paths(field)]
            kept = [look_up(value, path) for path in paths]
            assert [each for each in kept if each is not None] == [each for each in found if each is not None]
            assert set(paths) <= set(fields.paths(field))
    assert finder.paths_in({"text": "t"}).date == ()


def test_only_so_many_sets_of_names_are_remembered() -> None:
    finder = FieldFinder(Fields())
    for number in range(1000):
        assert finder.paths_in({"text": "t", f"other {number}": 1, "id": 1}).id == ("id",)
    assert len(finder._known) <= 256
