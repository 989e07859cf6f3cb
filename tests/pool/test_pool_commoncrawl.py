"""Common Crawl's own layout, built here and served by a local server: path list, ZipNum index, captures."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_archives import members, read_all, record
from pool_server import Site, serve

from dclm.cli.main import main
from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError, DataError
from dclm.pool.archives.warc import read_records
from dclm.pool.commoncrawl import CommonCrawl, find_blocks
from dclm.pool.files import InputFile, file_identity
from dclm.pool.spec import PoolMap, resolve_pool
from dclm.pool.streams import open_stream
from dclm.pool.surt import comparable, parse_pattern

CRAWL = "CC-MAIN-2024-10"
INDEX = f"cc-index/collections/{CRAWL}/indexes"
HOSTS = ["com,example", "com,example,blog", "com,example-shop", "com,examples", "de,beispiel", "org,zebra:8080"]
LINES_PER_BLOCK = 7


def surt(host: str, path: str) -> str:
    return f"{host}){path.lower()}"


def url_of(host: str, path: str) -> str:
    name, _, port = host.partition(":")
    return "https://" + ".".join(reversed(name.split(","))) + (f":{port}" if port else "") + path


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three WARC files with every capture of `HOSTS`, and the index over them, in the crawl's real formats."""
    root = tmp_path_factory.mktemp("crawl")
    captures: list[tuple[str, bytes]] = []
    packed: dict[str, bytes] = {}
    for number in range(300):
        host, path = HOSTS[number % len(HOSTS)], f"/Page/{number // len(HOSTS)}"
        folder = "crawldiagnostics" if number % 50 == 49 else "warc"
        filename = f"crawl-data/{CRAWL}/segments/1.{number % 3}/{folder}/CC-{number % 3}.warc.gz"
        member = members(record(number, url=url_of(host, path)))
        offset = len(packed.get(filename, b""))
        packed[filename] = packed.get(filename, b"") + member
        fields = {
            "url": url_of(host, path), "mime": "text/html", "status": "200", "digest": "X",
            "length": str(len(member)), "offset": str(offset), "filename": filename,
        }  # fmt: skip
        key = f"{surt(host, path)} 20240224{number:06d}"
        captures.append((key, f"{key} {json.dumps(fields)}\n".encode()))
    captures.sort()
    for name, data in packed.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / INDEX).mkdir(parents=True)
    cluster = []
    blocks = [captures[i : i + LINES_PER_BLOCK] for i in range(0, len(captures), LINES_PER_BLOCK)]
    shards: dict[str, bytes] = {}
    for number, block in enumerate(blocks):
        shard = f"cdx-{number * 2 // len(blocks):05d}.gz"
        data = gzip.compress(b"".join(line for _, line in block))
        offset = len(shards.get(shard, b""))
        shards[shard] = shards.get(shard, b"") + data
        cluster.append(f"{block[0][0]}\t{shard}\t{offset}\t{len(data)}\t{number + 1}\n")
    for name, data in shards.items():
        (root / INDEX / name).write_bytes(data)
    (root / INDEX / "cluster.idx").write_text("".join(cluster))
    paths = sorted(name for name in packed if "/warc/" in name)
    (root / f"crawl-data/{CRAWL}/warc.paths.gz").write_bytes(gzip.compress("\n".join(paths).encode() + b"\n"))
    with serve(root) as site:
        yield site


def captured(site: Site, *patterns: str, limit: int | None = None) -> list[str]:
    files = CommonCrawl(crawl=CRAWL, urls=patterns, limit=limit, base_url=site.url).files()
    urls: list[str] = []
    for file in files:
        table, tally = read_all(file)
        assert tally.damage == []
        assert table.num_rows == len(file.ranges)
        urls += table["url"].to_pylist()
    return sorted(urls)


def expected(*hosts: str) -> list[str]:
    numbers = (n for n in range(300) if HOSTS[n % len(HOSTS)] in hosts and n % 50 != 49)
    return sorted(url_of(HOSTS[n % len(HOSTS)], f"/Page/{n // len(HOSTS)}") for n in numbers)


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("*.example.com", ["com,example", "com,example,blog"]),
        ("example.com/*", ["com,example"]),
        ("https://WWW.Example.com/*", ["com,example"]),
        ("example-shop.com/*", ["com,example-shop"]),
        ("http://zebra.org:8080/*", ["org,zebra:8080"]),
        ("beispiel.de/pAGE*", ["de,beispiel"]),
        ("*.de", ["de,beispiel"]),
    ],
)
def test_a_pattern_finds_exactly_its_captures(crawl: Site, pattern: str, hosts: list[str]) -> None:
    assert captured(crawl, pattern) == expected(*hosts)


def test_a_single_url_finds_its_page_and_not_those_that_begin_like_it(crawl: Site) -> None:
    assert captured(crawl, "https://example.com/Page/4") == ["https://example.com/Page/4"]
    assert captured(crawl, "example.com/page/4/", "blog.example.com/Page/7") == [
        "https://blog.example.com/Page/7", "https://example.com/Page/4",
    ]  # fmt: skip


def test_limit_counts_the_captures_of_each_pattern(crawl: Site) -> None:
    assert len(captured(crawl, "example.com/*", "beispiel.de/*", limit=3)) == 6


def test_no_capture_is_an_error(crawl: Site) -> None:
    for pattern in ("example.net/*", "aaa.aaa/*", "zzz.zzz/*", "example.com/Page/400"):
        with pytest.raises(DataError, match="its index has no capture of"):
            captured(crawl, pattern)


def test_bisection_reads_little_of_a_long_index(tmp_path: Path) -> None:
    lines = [f"com,site{n:07d})/ 20240101000000\tcdx-00000.gz\t{n}\t1\t{n}\n" for n in range(40_000)]
    (tmp_path / "cluster.idx").write_text("".join(lines))
    with serve(tmp_path) as site:
        for number in (0, 1, 19_999, 39_999):
            site.requests.clear()
            found = list(find_blocks(f"{site.url}/cluster.idx", parse_pattern(f"site{number:07d}.com/*")))
            wanted = {max(number - 1, 0), number}
            assert {block.offset for block in found} == wanted
            assert len(site.requests) <= 12


def test_warc_files_are_drawn_by_seed_and_more_of_them_include_the_fewer(crawl: Site) -> None:
    def drawn(number: int, seed: int) -> set[str]:
        files = CommonCrawl(crawl=CRAWL, warcs=number, seed=seed, base_url=crawl.url).files()
        assert [f.name for f in files] == sorted(f.name for f in files)
        return {f.path for f in files}

    for seed in range(6):
        assert drawn(1, seed) < drawn(2, seed) < drawn(3, seed)
    assert len({frozenset(drawn(1, seed)) for seed in range(6)}) > 1
    table, tally = read_all(CommonCrawl(crawl=CRAWL, warcs=1, base_url=crawl.url).files()[0])
    assert table.num_rows > 90
    assert tally.damage == []


def test_a_list_of_paths_is_taken_as_it_is(crawl: Site) -> None:
    paths = gzip.decompress((crawl.root / f"crawl-data/{CRAWL}/warc.paths.gz").read_bytes()).decode().split()
    files = CommonCrawl(crawl=CRAWL, warcs=tuple(paths[:2]), base_url=crawl.url + "/").files()
    assert [f.path for f in files] == [f"{crawl.url}/{p}" for p in paths[:2]]


def test_what_the_server_does_not_have_is_an_error(crawl: Site) -> None:
    with pytest.raises(DataError, match="the server answered 404"):
        CommonCrawl(crawl="CC-MAIN-1999-01", warcs=1, base_url=crawl.url).files()
    with pytest.raises(DataError, match="allowed: up to 3"):
        CommonCrawl(crawl=CRAWL, warcs=4, base_url=crawl.url).files()


@pytest.mark.parametrize(
    "fields", [{}, {"warcs": 1, "urls": ("a.b/*",)}, {"warcs": 1, "limit": 2}, {"urls": ("*",)}, {"urls": ("http://",)}]
)
def test_contradictions_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"give|found"):
        CommonCrawl(crawl=CRAWL, **fields)


def test_urls_are_compared_as_the_index_keys_are() -> None:
    for text in ("http://www.a.com/B/?Q=1", "https://A.com:443/b?q=1#f", "http://user@www2.a.com./b?q=1"):
        assert comparable(text) == "a.com/b?q=1"


def test_the_command_prints_the_selection(crawl: Site, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pool", "commoncrawl", CRAWL, "example.com/*", "--limit", "2", "--base-url", crawl.url])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert sum(int(line[4].split()[0]) for line in lines) == 2
    with pytest.raises(SystemExit) as exit:
        main(["pool", "commoncrawl", CRAWL])
    assert exit.value.code == 2


TABLE = f"cc-index/table/cc-main/warc/crawl={CRAWL}"


@pytest.fixture(scope="module")
def table(crawl: Site) -> Site:
    """The columnar index of the crawl, in two files of two row groups each, and WET files."""
    rows = []
    for path in sorted((crawl.root / "crawl-data").rglob("*.warc.gz")):
        name = path.relative_to(crawl.root).as_posix()
        with closing(open_stream(str(path))) as stream:
            found = list(read_records(stream, []))
        ends = [*(one.offset for one in found[1:]), path.stat().st_size]
        for one, end in zip(found, ends, strict=True):
            assert one.url is not None
            host = one.url.split("/")[2].partition(":")[0]
            rows.append(
                {
                    "url": one.url, "url_host_name": host, "url_host_tld": host.rpartition(".")[2],
                    "fetch_status": 404 if "crawldiagnostics" in name else 200, "content_languages": "deu",
                    "warc_filename": name, "warc_record_offset": one.offset, "warc_record_length": end - one.offset,
                }
            )  # fmt: skip
    rows.sort(key=lambda row: str(row["url_host_tld"]))
    paths = []
    for number, part in enumerate((rows[:150], rows[150:])):
        name = f"{TABLE}/subset=warc/part-{number:05d}.c000.gz.parquet"
        (crawl.root / name).parent.mkdir(parents=True, exist_ok=True)
        types = pa.schema([(k, pa.int16() if k == "fetch_status" else pa.array([v]).type) for k, v in rows[0].items()])
        pq.write_table(pa.Table.from_pylist(part, schema=types), crawl.root / name, row_group_size=75)
        paths.append(name)
    paths.append(f"{TABLE}/subset=robotstxt/part-00000.c000.gz.parquet")
    home = crawl.root / f"crawl-data/{CRAWL}"
    (home / "cc-index-table.paths.gz").write_bytes(gzip.compress("\n".join(paths).encode()))
    wet = [f"crawl-data/{CRAWL}/segments/1.{n}/wet/CC-{n}.warc.wet.gz" for n in range(3)]
    for n, name in enumerate(wet):
        (crawl.root / name).parent.mkdir(parents=True, exist_ok=True)
        (crawl.root / name).write_bytes(members(record(n, b"text", kind="conversion", content_type="text/plain")))
    (home / "wet.paths.gz").write_bytes(gzip.compress("\n".join(wet).encode()))
    return crawl


def urls_of(files: tuple[InputFile, ...]) -> list[str]:
    urls: list[str] = []
    for file in files:
        read, tally = read_all(file)
        assert tally.damage == []
        assert read.num_rows == len(file.ranges)
        urls += read["url"].to_pylist()
    return sorted(urls)


def test_captures_are_selected_by_columns_of_the_index(table: Site) -> None:
    def chosen(**where: tuple[str | int, ...]) -> list[str]:
        return urls_of(CommonCrawl(crawl=CRAWL, where=where, base_url=table.url).files())

    assert chosen(url_host_tld=("de",)) == expected("de,beispiel")
    assert chosen(url_host_name=("Example.COM.", "zebra.org")) == expected("com,example", "org,zebra:8080")
    assert chosen(url_host_tld=("de", "org"), content_languages=("deu",)) == expected("de,beispiel", "org,zebra:8080")
    with pytest.raises(DataError, match="no capture of fetch_status in \\[500\\]"):
        chosen(fetch_status=(500,))
    with pytest.raises(ConfigError, match="no column langauge, found: content_languages"):
        chosen(langauge=("deu",))
    with pytest.raises(ConfigError, match="fetch_status is int16, found 'ok'"):
        chosen(fetch_status=("ok",))


def test_what_the_statistics_rule_out_is_not_fetched(table: Site) -> None:
    table.requests.clear()
    CommonCrawl(crawl=CRAWL, where={"url_host_tld": ("org",)}, base_url=table.url).files()
    fetched = [path for path, _ in table.requests]
    assert any("part-00001" in path for path in fetched)
    first = sum("part-00000" in path for path in fetched)
    assert first <= 3 < sum("part-00001" in path for path in fetched)  # only the footer of the first


def test_an_index_of_ones_own_is_read_where_it_lies(table: Site, tmp_path: Path) -> None:
    query = pq.read_table(table.root / f"{TABLE}/subset=warc/part-00000.c000.gz.parquet").slice(3, 5)
    pq.write_table(query.select(["warc_filename", "warc_record_offset", "warc_record_length"]), tmp_path / "q.parquet")
    pool = build(
        PoolMap, parse_yaml(f"{{commoncrawl: {{crawl: {CRAWL}, index: [q.parquet], base_url: '{table.url}'}}}}")
    )
    files = resolve_pool(pool, str(tmp_path), lambda path: str(tmp_path / path))
    assert urls_of(files) == sorted(query["url"].to_pylist())
    limited = CommonCrawl(crawl=CRAWL, index=(str(tmp_path / "q.parquet"),), limit=2, base_url=table.url).files()
    assert sum(len(file.ranges) for file in limited) == 2
    pq.write_table(query.select(["url"]), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="the column warc_filename is missing"):
        CommonCrawl(crawl=CRAWL, index=(str(tmp_path / "none.parquet"),), base_url=table.url).files()


def test_some_parts_of_the_index_are_drawn_by_seed(table: Site) -> None:
    where = {"fetch_status": (200,)}
    both = [
        urls_of(CommonCrawl(crawl=CRAWL, where=where, parts=1, seed=n, base_url=table.url).files()) for n in range(6)
    ]
    assert both[0] == urls_of(CommonCrawl(crawl=CRAWL, where=where, parts=1, seed=0, base_url=table.url).files())
    assert len(set(map(tuple, both))) == 2


def test_wet_files_are_drawn_from_their_own_list(table: Site) -> None:
    files = CommonCrawl(crawl=CRAWL, warcs=2, format="wet", base_url=table.url).files()
    assert all(file.name.endswith(".warc.wet.gz") for file in files)
    assert [text for file in files for text in read_all(file)[0]["text"].to_pylist()] == ["text"] * 2
    with pytest.raises(DataError, match="up to 3, the number of its WET files"):
        CommonCrawl(crawl=CRAWL, warcs=4, format="wet", base_url=table.url).files()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "or `where`"),
        ({"warcs": 1, "where": {"a": ("b",)}}, "or `where`"),
        ({"urls": ("a.b",), "format": "wet"}, "list only WARC files"),
        ({"warcs": 1, "limit": 1}, "give `warcs` a number"),
        ({"index": ("x",), "parts": 1}, "own columnar index"),
    ],
)
def test_selections_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CommonCrawl(crawl=CRAWL, **fields)


def test_the_hash_of_a_pool_does_not_depend_on_the_mirror(table: Site, tmp_path: Path) -> None:
    shutil.copytree(table.root, tmp_path / "mirror")
    with serve(tmp_path / "mirror") as mirror:
        for fields in ({"warcs": 2}, {"urls": ("*.de",)}, {"where": {"url_host_tld": ("de",)}}):
            pools = [CommonCrawl(crawl=CRAWL, base_url=f"{s.url}/", **fields).files() for s in (table, mirror)]  # type: ignore[arg-type]
            hashes = [[(file.name, file_identity(file)) for file in pool] for pool in pools]
            assert hashes[0] == hashes[1]


def test_the_command_lists_what_columns_select(table: Site, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--where", "url_host_tld=de", "--where", "url_host_tld=org", "--where", "fetch_status=200"]
    main(["pool", "commoncrawl", CRAWL, *where, "--base-url", table.url])
    listed = capsys.readouterr().out.splitlines()
    number = sum(int(line.split("\t")[-1].split()[0]) for line in listed)
    assert number == len(expected("de,beispiel", "org,zebra:8080"))
    main(["pool", "commoncrawl", CRAWL, "--warcs", "2", "--format", "wet", "--base-url", table.url])
    assert all(".wet.gz" in line for line in capsys.readouterr().out.splitlines())
    with pytest.raises(SystemExit):
        main(["pool", "commoncrawl", CRAWL, "--where", "url_host_tld", "--base-url", table.url])
    assert "allowed: COLUMN=VALUE" in capsys.readouterr().err
