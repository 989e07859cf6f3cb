"""The sample pool is a real crawl: readable, deterministic, and consistent with its table of truth."""

from __future__ import annotations

import collections
import gzip
import html
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.core.storage import sha256_file
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.sample.crawl import make_sample
from dclm.pool.sample.grammar import Speaker
from dclm.pool.sample.pages import FILE_FAULTS, RECORD_FAULTS
from dclm.pool.sample.text import LANGUAGES

DOCUMENTS = 560
Rows = list[dict[str, object]]
Bodies = dict[str, bytes | None]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample") / "pool", documents=DOCUMENTS, files=3)


@pytest.fixture(scope="module")
def truth(pool: Path) -> Rows:
    rows: Rows = pq.read_table(pool / "truth.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def bodies(pool: Path) -> Bodies:
    """Response id → payload, null for rejects, in the order of the crawl."""
    found: Bodies = {}
    for file in list_files([str(pool / "warc")]):
        for batch in read_file(file, Tally()):
            rows = zip(batch["id"].to_pylist(), batch["body"].to_pylist(), batch["_reject"].to_pylist(), strict=True)
            found |= {identity: None if reject else body for identity, body, reject in rows}
    return found


def token_f1(found: str, expected: str) -> float:
    one, other = collections.Counter(found.split()), collections.Counter(expected.split())
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total())


def test_truth_has_every_response_in_the_order_of_the_crawl(truth: Rows, bodies: Bodies) -> None:
    assert [row["id"] for row in truth] == list(bodies)
    assert len(bodies) == DOCUMENTS


def test_only_broken_records_are_rejected(truth: Rows, bodies: Bodies) -> None:
    rejected = {row["fault"] for row in truth if bodies[str(row["id"])] is None}
    assert {"no_http_header", "bad_gzip", "bad_chunks", "truncated"} <= rejected
    assert rejected <= {*RECORD_FAULTS, *FILE_FAULTS}


def test_a_simple_reader_loses_no_more_than_the_last_few_records(pool: Path) -> None:
    count = 0
    for path in sorted((pool / "warc").iterdir()):
        with path.open("rb") as handle:
            try:
                for record in ArchiveIterator(handle, record_types=WarcRecordType.response, parse_http=False):
                    count += len(record.reader.read()) > 0
            except OSError:
                assert path.name == "sample-00002.warc.gz"
    assert DOCUMENTS - 5 <= count < DOCUMENTS


def test_every_kind_of_page_and_fault_is_there(truth: Rows) -> None:
    assert {row["quality"] for row in truth} == {"high", "low", "spam", "boilerplate", "broken"}
    assert {row["language"] for row in truth} == {"en", *LANGUAGES}
    assert {row["fault"] for row in truth} == {None, *RECORD_FAULTS, *FILE_FAULTS}
    assert {row["duplicate_kind"] for row in truth} == {None, "original", "exact", "near"}
    assert {"utf-8", "windows-1252", "windows-1251"} <= {row["encoding"] for row in truth}
    assert len({row["url"] for row in truth}) == DOCUMENTS


def test_good_pages_are_extracted_almost_whole(truth: Rows, bodies: Bodies) -> None:
    scores = [
        token_f1(extract_plain_text(body.decode(), main_content=True), str(row["main_text"]))
        for row, body in zip(truth, bodies.values(), strict=True)
        if body is not None and row["quality"] in ("high", "low") and row["language"] == "en"
    ]
    assert len(scores) > DOCUMENTS / 2
    assert sum(scores) / len(scores) > 0.95
    assert min(scores) > 0.85


def test_duplicate_clusters_hold_what_they_say(truth: Rows) -> None:
    clusters = collections.defaultdict(list)
    for row in truth:
        if row["duplicate_cluster"] is not None:
            clusters[row["duplicate_cluster"]].append(row)
    assert len(clusters) > 10
    for rows in clusters.values():
        kinds = collections.Counter(row["duplicate_kind"] for row in rows)
        assert kinds["original"] == 1
        assert len(rows) > 1
        original = str(next(row["main_text"] for row in rows if row["duplicate_kind"] == "original"))
        for row in rows:
            text = str(row["main_text"])
            if row["duplicate_kind"] == "near":
                assert text != original
                assert token_f1(text, original) > 0.9
            else:
                assert text == original
    texts = [row["main_text"] for row in truth if row["duplicate_cluster"] is None and row["quality"] == "high"]
    assert len(texts) == len(set(texts))


def test_pages_of_old_encodings_are_not_utf_8(truth: Rows, bodies: Bodies) -> None:
    old = [(row, body) for row, body in zip(truth, bodies.values(), strict=True) if row["encoding"] != "utf-8"]
    assert old
    for row, body in old:
        assert body is not None
        assert str(row["main_text"]).split("\n")[-1] in html.unescape(body.decode(str(row["encoding"])))
        with pytest.raises(UnicodeDecodeError):
            body.decode("utf-8")


def test_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    roots = [make_sample(tmp_path / str(i), seed=seed, documents=60, files=2) for i, seed in enumerate((0, 0, 1))]
    records = [read_record(root) for root in roots]
    assert records[0].files == records[1].files
    assert records[0].fingerprint == records[1].fingerprint != records[2].fingerprint
    assert {f.sha256 for f in records[0].files}.isdisjoint(f.sha256 for f in records[2].files)
    assert all(sha256_file(roots[0] / f.path) == f.sha256 for f in records[0].files)


def test_a_pool_that_is_there_is_reused(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "pool", documents=20, files=1)
    before = (root / "record.json").stat().st_mtime_ns
    make_sample(root, documents=20, files=1)
    assert (root / "record.json").stat().st_mtime_ns == before
    make_sample(root, documents=21, files=1, force=True)
    assert read_record(root).counts["records"] == 21


def test_texts_beside_the_crawl_are_not_in_it(pool: Path, truth: Rows) -> None:
    crawled = {row["main_text"] for row in truth}
    for name in ("validation", "quality_positive", "quality_negative"):
        lines = gzip.decompress((pool / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert len(texts) == len(set(texts)) >= DOCUMENTS // 20
        assert crawled.isdisjoint(texts)


@pytest.mark.parametrize(("documents", "files"), [(0, 1), (3, 4), (5, 0)])
def test_impossible_sizes_are_refused(tmp_path: Path, documents: int, files: int) -> None:
    with pytest.raises(ConfigError, match="at least one document per file"):
        make_sample(tmp_path / "pool", documents=documents, files=files)
    assert not (tmp_path / "pool").exists()


@pytest.mark.shared
def test_language_identification_agrees(truth: Rows, bodies: Bodies, shared: Path) -> None:
    import fasttext

    model = fasttext.load_model(str(shared / "models" / "lid.176.ftz"))
    for row in truth:
        if row["quality"] in ("high", "low"):
            labels, scores = model.predict(str(row["main_text"]).replace("\n", ""))
            assert labels[0] == f"__label__{row['language']}", row["url"]
            assert scores[0] > 0.65, row["url"]


def test_a_slot_deals_all_its_entries_before_one_comes_again() -> None:
    speaker = Speaker(random.Random(0), {"x": ["a {y} [is|was] here", "b"], "y": ["apple", "user"]})
    said = [speaker.say("x") for _ in range(4)]
    assert sorted(s == "B" for s in said) == [False, False, True, True]
    assert {s.split()[1] for s in said if s != "B"} == {"apple", "user"}
    assert all(s.startswith(("An apple", "A user")) for s in said if s != "B")
