"""Ranks of hosts: Common Crawl's files, PageRank against networkx, links of pages, workers."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dclm.core.errors import AssetError, ConfigError, DataError
from dclm.curate.step import Context
from dclm.select.hosts.graph import HostGraphSpec, host_graph, pagerank, rank_hosts
from dclm.select.hosts.step import HostRank

LINES = [
    "#harmonicc_pos\t#harmonicc_val\t#pr_pos\t#pr_val\t#host_rev",
    "1\t3.1E7\t2\t0.004\tcom.example",
    "2\t2.9E7\t1\t0.009\torg.example.news",
    '3\t1.1E7\t3\t0.001\tde."odd',
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ranks_of(step: HostRank, urls: list[str | None]) -> list[float | None]:
    batch = pa.RecordBatch.from_pydict({"url": pa.array(urls, pa.string())})
    found: list[float | None] = (
        step.open(Context(files={step.ranks: step.ranks}))(batch).column(step.column).to_pylist()
    )
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_common_crawl_becomes_a_column(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "ranks.txt"
    content = ("\n".join(LINES) + "\n").encode()
    path.write_bytes(gzip.compress(content[:60]) + gzip.compress(content[60:]) if packed else content)
    urls = [
        "https://www.example.com/a",
        "http://EXAMPLE.com:80",
        "https://news.example.org/x?y",
        "http://example.org",
        None,
    ]
    expected = {
        "pagerank": [0.004, 0.004, 0.009, None, None],
        "pagerank_position": [2, 2, 1, None, None],
        "harmonic": [3.1e7, 3.1e7, 2.9e7, None, None],
        "harmonic_position": [1, 1, 2, None, None],
    }
    for value, column in expected.items():
        assert ranks_of(HostRank(ranks=str(path), value=value), urls) == column  # type: ignore[arg-type]
    assert ranks_of(HostRank(ranks=str(path)), []) == []


def test_many_hosts_are_found_one_by_one(tmp_path: Path) -> None:
    draw = random.Random(0)
    table = {f"h{i}.site{i % 97}.org": draw.random() for i in range(3000)}
    rows = [f"{i}\t{value!r}\t{'.'.join(reversed(host.split('.')))}" for i, (host, value) in enumerate(table.items())]
    (tmp_path / "r.txt").write_text("#pr_pos\t#pr_val\t#host_rev\n" + "\n".join(rows))
    urls = [f"http://{host}/" for host in table] + ["http://other.org/"]
    assert ranks_of(HostRank(ranks=str(tmp_path / "r.txt")), urls) == [*table.values(), None]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"hello\n", "found the fields hello"),
        (b"#harmonicc_val\t#host_rev\n1\tcom.a\n", "pr_val among them"),
        (b"#pr_val\t#host_rev\nmany\tcom.a\n", "not a table of host ranks"),
        (b"#pr_val\t#host_rev\n1\n", "not a table of host ranks"),
        (b"\xff\xfe\n", "not a table of host ranks"),
        (
            gzip.compress(b"#pr_val\t#host_rev\n" + bytes(range(65, 91)) * 50, mtime=0)[:-20],
            "not a table of host ranks",
        ),
    ],
)
def test_what_is_no_ranks_file_is_refused(tmp_path: Path, cache: Path, content: bytes, what: str) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(AssetError, match=what):
        ranks_of(HostRank(ranks=str(tmp_path / "r")), ["http://a.com"])
    assert not list((cache / "ranks").glob("*")) if (cache / "ranks").exists() else True


def test_a_directory_is_no_ranks_file(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="found a directory"):
        ranks_of(HostRank(ranks=str(tmp_path)), ["http://a.com"])


def test_pagerank_is_networkxs() -> None:
    networkx = pytest.importorskip("networkx")
    draw = random.Random(1)
    pairs = sorted({(draw.randrange(200), int(200 * draw.random() ** 3)) for _ in range(900)})
    pairs = [(a, b) for a, b in pairs if a != b]
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(200))
    graph.add_edges_from(pairs)
    edges = np.array(pairs)
    assert np.bincount(edges[:, 0], minlength=200).min() == 0  # some link to nothing
    for damping in (0.5, 0.85):
        expected = networkx.pagerank(graph, alpha=damping, tol=1e-14, max_iter=1000)
        found, _ = pagerank(200, edges[:, 0], edges[:, 1], damping, 1e-12)
        np.testing.assert_allclose(found, [expected[i] for i in range(200)], atol=1e-11)
        assert found.sum() == pytest.approx(1)


PAGES = {
    "http://a.org/1": b"<a href=\"http://www.b.org/x\">b</a> <a class=k href=//c.org>c</a> <A HREF = 'HTTPS://B.org/'>",
    "http://www.a.org/2": b'<a href="/relative"> <a href="http://a.org/1"> <link href="http://style.org/s.css">',
    "http://b.org/": b'<p>http://text.org <a name="x" href="https://c.org:443/p?q=http://in.query">',
    "http://c.org/": b"no link at all",
}


def write_warc(path: Path) -> None:
    with path.open("wb") as file:
        for number, (url, html) in enumerate(PAGES.items()):
            body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + html
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
                f"WARC-Record-ID: <urn:uuid:0000000{number}-0000-4000-8000-000000000000>\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            file.write(gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0))


def test_links_between_hosts_count_once(tmp_path: Path) -> None:
    write_warc(tmp_path / "p.warc.gz")
    names, sources, targets = host_graph((str(tmp_path / "p.warc.gz"),), [])
    assert names.to_pylist() == ["org.a", "org.b", "org.c"]
    assert list(zip(sources.tolist(), targets.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_ranks_of_the_pools_own_links_are_a_file_like_common_crawls(tmp_path: Path) -> None:
    write_warc(tmp_path / "p.warc.gz")
    spec = HostGraphSpec(pages=(str(tmp_path / "p.warc.gz"),))
    record = rank_hosts(spec, tmp_path / "out")
    assert record.counts["hosts"] == 3
    assert record.counts["links"] == 3
    lines = (tmp_path / "out" / "ranks.tsv").read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:]] == ["org.c", "org.b", "org.a"]
    a, b, c, other = ranks_of(
        HostRank(ranks=str(tmp_path / "out" / "ranks.tsv")), [*list(PAGES)[1:], "http://style.org"]
    )
    assert other is None
    ranks = np.array([a, b, c], np.float64)
    assert (np.diff(ranks) > 0).all()
    assert ranks.sum() == pytest.approx(1)
    assert rank_hosts(spec, tmp_path / "two").files == record.files
    assert record.missing == ()


def test_pages_that_cannot_be_read_are_named_in_the_record(tmp_path: Path) -> None:
    write_warc(tmp_path / "p.warc.gz")
    (tmp_path / "p.warc.gz").write_bytes((tmp_path / "p.warc.gz").read_bytes()[:-9])
    (missing,) = rank_hosts(HostGraphSpec(pages=(str(tmp_path / "p.warc.gz"),)), tmp_path / "out").missing
    assert missing.startswith("p.warc.gz: truncated")


def test_text_has_no_links(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a", "url": "http://a.org"}\n')
    with pytest.raises(ConfigError, match="allowed: WARC files of pages"):
        rank_hosts(HostGraphSpec(pages=(str(tmp_path / "t.jsonl"),)), tmp_path / "out")
    with pytest.raises(DataError, match="still change"):
        pagerank(2, np.array([0]), np.array([1]), 0.85, 0.0)
