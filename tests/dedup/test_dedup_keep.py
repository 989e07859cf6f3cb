"""Which copy is kept, and what it records about the others, compared with plain Python, for every step."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import ids, make_shards, replaced
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Global
from dclm.dedup.exact import Exact
from dclm.dedup.keep import Keep, order_of
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide, drop
from dclm.select.semantic.semdedup import SemDedup

DATES = [None, "2019-03-18", "2019-03-18T10:00:00Z", "2019-03-18T10:00:00.5Z", "2023-01-01T00:00:00+01:00"]
SOURCES = ["pool/wiki/0.jsonl#4", "books#1", "crawl/a.warc.gz#0", "s3://b/wikipedia.jsonl#2"]
PREFER = ("books", "wiki*")


@dataclasses.dataclass(frozen=True)
class Row:
    """A document as plain Python sees it."""

    group: int
    padding: int
    date: str | None
    source: str
    score: float | None


ROWS = st.lists(
    st.builds(
        Row,
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(DATES),
        st.sampled_from(SOURCES),
        st.sampled_from([None, math.nan, -0.0, 0.0, -1.5, 2.5, 1e300, -1e300, math.inf]),
    ),
    max_size=12,
)


def text_of(row: Row) -> str:
    """Equal words within a group; case and spaces change the lengths and bytes of texts."""
    return " ".join(f"g{row.group}w{k}" for k in range(8)) + " " * row.padding


def documents(rows: list[Row], shards: int) -> list[list[pa.RecordBatch]]:
    made = make_shards([text_of(r) for r in rows], shards)
    at = 0
    out: list[list[pa.RecordBatch]] = []
    for batches in made:
        out.append([])
        for batch in batches:
            part = rows[at : at + batch.num_rows]
            at += batch.num_rows
            vectors = np.eye(4, dtype=np.float32)[[r.group for r in part]].reshape(-1)
            columns = {
                "date": pa.array([r.date for r in part], pa.string()),
                "source": pa.array([r.source for r in part], pa.string()),
                "url": pa.array([f"http://www.h{r.group}{r.padding}.example/x" for r in part], pa.string()),
                "score": pa.array([r.score for r in part], pa.float64()),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors), 4),
            }
            for name, column in columns.items():
                batch = batch.append_column(name, column)
            out[-1].append(batch)
    return out


def rank(row: Row, keep: Keep) -> float:
    if keep == "newest":
        digits = re.sub(r"\D", "", re.sub(r"(Z|[+-]\d\d:\d\d)$", "", row.date or ""))
        return -int(digits.ljust(17, "0")) if row.date else math.inf
    if keep == "longest":
        return -len(text_of(row))
    if keep == "highest":
        return math.inf if row.score is None or math.isnan(row.score) else -row.score
    if keep == "preferred":
        names = row.source.partition("#")[0].split("/")
        hits = [i for i, p in enumerate(PREFER) if any(fnmatch.fnmatch(name, p) for name in names)]
        return min(hits, default=len(PREFER))
    return 0


KEEPS = ("first", "newest", "longest", "highest", "preferred")
MAKERS: dict[str, Callable[..., Global]] = {
    "exact": lambda **f: Exact(normalize="whitespace_and_lowercase", **f),
    "minhash": lambda **f: MinHash(bands=4, rows=2, **f),
    "rounds": lambda **f: MinHash(bands=4, rows=2, links_in_memory=0, **f),
    "verified": lambda **f: MinHash(bands=4, rows=2, verify=0.9, **f),
    "semdedup": lambda **f: SemDedup(clusters=1, epsilon=0.1, **f),
}


def fields(keep: Keep) -> dict[str, object]:
    more: dict[str, dict[str, object]] = {"highest": {"keep_by": "score"}, "preferred": {"prefer": PREFER}}
    return {"keep": keep, **more.get(keep, {})}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=12)
@given(ROWS, st.sampled_from(KEEPS), st.integers(1, 3))
def test_the_best_copy_stays_and_carries_what_its_cluster_holds(
    name: str, rows: list[Row], keep: Keep, shards: int
) -> None:
    step = MAKERS[name](**fields(keep), carry=("size", "dates", "domains"))
    made = documents(rows, shards)
    decision = decide(step, made)
    groups: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.group, []).append(i)
    if keep == "newest" and name == "exact":
        best = {g: max(m, key=lambda i: (rows[i].date or "", -i)) for g, m in groups.items()}
    else:
        best = {g: min(m, key=lambda i: (rank(rows[i], keep), i)) for g, m in groups.items()}
    assert replaced(decision, made) == {i: best[g] for g, members in groups.items() for i in members if i != best[g]}
    assert ids(drop(decision, made)) == sorted(best.values())
    columns = pa.concat_tables(decision.columns).to_pylist()
    carried = {(r["shard"], r["row"]): (r["copies"], r["copy_dates"], r["copy_domains"]) for r in columns}
    size = -(-max(len(rows), 1) // shards)
    expected = {}
    for group, members in groups.items():
        if len(members) > 1:
            dates = sorted({d for i in members if (d := rows[i].date)})
            hosts = sorted({f"h{rows[i].group}{rows[i].padding}.example" for i in members})
            expected[divmod(best[group], size)] = (len(members), dates, hosts)
    assert carried == expected


def test_what_an_earlier_step_carried_counts_on() -> None:
    rows = [Row(0, 0, "2019", "a#0", 1.0), Row(0, 0, "2020", "a#1", 1.0), Row(0, 1, "2021", "a#2", 1.0)]
    made = documents(rows, 1)
    first = decide(Exact(carry=("size", "dates")), made)
    batch = drop(first, made)[0][0]
    given_columns = pa.array([2, None], pa.int64()), pa.array([["2019", "2020"], None], pa.list_(pa.string()))
    assert pa.concat_tables(first.columns)["copies"].to_pylist() == [2]
    for name, column in zip(("copies", "copy_dates"), given_columns, strict=True):
        batch = batch.append_column(name, column)
    second = decide(MinHash(bands=2, rows=2, carry=("size", "dates")), [[batch]])
    assert pa.concat_tables(second.columns).to_pylist() == [
        {"shard": 0, "row": 0, "copies": 3, "copy_dates": ["2019", "2020", "2021"]}
    ]


def test_the_order_of_dates_is_that_of_time() -> None:
    dates = ["2020-01-01T00:00:00Z", "2020-01-01", None, "2021-01-01T00:00:00.123456Z", "yesterday", "2020-01-02"]
    batch = pa.RecordBatch.from_pydict({"date": pa.array(dates, pa.string())})
    order = order_of(batch, "newest").to_pylist()
    assert sorted(range(6), key=lambda i: (order[i], i)) == [3, 5, 0, 1, 2, 4]
    assert order[2] == order[4]


def test_patterns_match_whole_parts_of_a_path() -> None:
    sources = ["wiki#1", "a/wiki.x/b#1", "mywiki#1", "wikimedia/x#3", "b/w.k#1", None]
    batch = pa.RecordBatch.from_pydict({"source": pa.array(sources, pa.string())})
    assert order_of(batch, "preferred", None, ("wiki", "wiki*", "w.k")).to_pylist() == [0, 1, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{keep: highest}", "needs `keep_by`"),
        ("{keep: preferred}", "needs `prefer`"),
        ("{prefer: [a]}", "needs keep: preferred"),
        ("{keep: newest, keep_by: date}", "`keep_by` needs"),
    ],
)
@pytest.mark.parametrize("kind", [Exact, MinHash])
def test_fields_that_do_not_fit_are_refused(kind: type[Global], text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        build(kind, parse_yaml(text))


def test_a_column_that_is_not_there_or_holds_no_numbers_is_refused() -> None:
    made = documents([Row(0, 0, None, "a#0", 1.0)], 1)
    with pytest.raises(ConfigError, match=r"found quality, allowed: .*score"):
        decide(Exact(keep="highest", keep_by="quality"), made)
    with pytest.raises(ConfigError, match="allowed: a column of numbers"):
        decide(MinHash(keep="highest", keep_by="source"), made)
