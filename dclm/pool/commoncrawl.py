"""Selections of Common Crawl: whole WARC or WET files drawn by seed, or single captures found by an index."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from dclm.core.config import Count, Positive
from dclm.core.errors import DataError
from dclm.core.names import Name
from dclm.pool.files import ByteRange, InputFile, list_files, with_ranges
from dclm.pool.remote import HttpFile, fetch, read_exactly
from dclm.pool.surt import Pattern, parse_pattern
from dclm.pool.texts.columnar import captures

_PROBE_BYTES = 1 << 16  # a line of cluster.idx has about 100 bytes; with long URLs up to 2 KB


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonCrawl:
    """Pages of one crawl. Give one of `warcs`, `urls` and `where`."""

    crawl: Name
    """Id of the crawl, such as CC-MAIN-2022-05."""
    warcs: Positive | tuple[str, ...] | None = None
    """Number of files, drawn by `seed` (a larger number includes the files of a smaller one), or a list of paths as in
    warc.paths.gz."""
    format: Literal["warc", "wet"] = "warc"
    """With `warcs`: whether the files are WARC (pages) or WET (Common Crawl's own text of them), from wet.paths.gz."""
    urls: tuple[str, ...] = ()
    """`*.example.com` (with subdomains), `example.com/*`, `example.com/blog*`, or single URLs, looked up in the
    index."""
    where: Mapping[str, tuple[str | int, ...]] = dataclasses.field(default_factory=dict)
    """Captures found by the columnar index: column → allowed values, such as
    `{content_languages: [deu], url_host_tld: [de, at]}`. `fetch_status` is 200 unless given."""
    index: tuple[str, ...] = ()
    """Parquet files of a columnar index, such as the result of a query: files, directories, globs or URLs. Default: the
    crawl's own, of which `parts` files are read."""
    parts: Positive | None = None
    """Number of files of the crawl's own columnar index to read, drawn by `seed`; default: all (about 300, 200 GB)."""
    limit: Positive | None = None
    """Maximum number of captures, per pattern of `urls` or in total for `where`, in the order of the index."""
    seed: Count = 0
    base_url: str = "https://data.commoncrawl.org/"
    """Server or mirror with Common Crawl's own layout."""

    def __post_init__(self) -> None:
        if sum((self.warcs is not None, bool(self.urls), bool(self.where or self.index))) != 1:
            raise ValueError("give either `warcs` (a number or a list of paths) or `urls` or `where`")
        if self.limit is not None and self.warcs is not None:
            raise ValueError("`limit` counts captures of `urls` or `where`; give `warcs` a number instead")
        if self.format == "wet" and not isinstance(self.warcs, int):
            raise ValueError("`format: wet` needs a number of `warcs`; the indexes list only WARC files")
        if self.parts is not None and (self.index or not self.where):
            raise ValueError("`parts` counts files of the crawl's own columnar index, which `where` reads")
        for text in self.urls:
            parse_pattern(text)

    def files(self, resolve: Callable[[str], str] = lambda path: path) -> tuple[InputFile, ...]:
        """The files, with byte ranges for single captures, sorted by name. Downloads the list of paths or the index.

        `resolve` turns a path of the recipe into one of this machine.
        Raises: DataError if the server does not have the crawl, or nothing matches.
        """
        if self.urls:
            return self._files(self._by_url())
        if self.warcs is None:
            return self._files(self._by_columns([resolve(path) for path in self.index]))
        if isinstance(self.warcs, tuple):
            paths = list(self.warcs)
        else:
            known = self._paths(f"{self.format}.paths.gz")
            if self.warcs > len(known):
                allowed = f"allowed: up to {len(known)}, the number of its {self.format.upper()} files"
                raise DataError(self.crawl, f"`warcs` is {self.warcs}, {allowed}")
            paths = sorted(known, key=self._lot)[: self.warcs]
        return tuple(sorted((self._file(path) for path in set(paths)), key=lambda file: file.name))

    def _paths(self, name: str) -> list[str]:
        url = self._url(f"crawl-data/{self.crawl}/{name}")
        try:
            lines = gzip.decompress(fetch(url)).decode("ascii").split()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DataError(url, f"not a gzip list of paths: {error}") from None
        return lines

    def _lot(self, path: str) -> bytes:
        return hashlib.blake2b(f"{self.seed}\0{path}".encode(), digest_size=16).digest()

    def _url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{path}"

    def _file(self, path: str) -> InputFile:
        return InputFile(path=self._url(path), name=path.rsplit("/", 1)[-1], kind="warc", size=0, identity=path)

    def _by_url(self) -> dict[str, set[ByteRange]]:
        ranges: dict[str, set[ByteRange]] = {}
        index = f"cc-index/collections/{self.crawl}/indexes"
        for text in self.urls:
            pattern = parse_pattern(text)
            number = 0
            for block in find_blocks(self._url(f"{index}/cluster.idx"), pattern):
                url = self._url(f"{index}/{block.file}")
                for capture in _matches(url, block, pattern):
                    ranges.setdefault(capture.filename, set()).add(ByteRange(capture.offset, capture.length))
                    number += 1
                    if number == self.limit:
                        break
                if number == self.limit:
                    break
        return ranges

    def _by_columns(self, index: list[str]) -> dict[str, set[ByteRange]]:
        where = {"fetch_status": (200,)} | dict(self.where) if not index else dict(self.where)
        ranges: dict[str, set[ByteRange]] = {}
        paths = [file.path for file in list_files(index)] if index else self._index_parts()
        found = (capture for path in paths for capture in captures(path, where))
        for name, part in itertools.islice(found, self.limit):
            ranges.setdefault(name, set()).add(part)
        return ranges

    def _index_parts(self) -> list[str]:
        """The files of the crawl's own columnar index, as cc-index-table.paths.gz lists them."""
        known = [path for path in self._paths("cc-index-table.paths.gz") if "/subset=warc/" in path]
        chosen = known if self.parts is None else sorted(known, key=self._lot)[: self.parts]
        return [self._url(path) for path in sorted(chosen)]

    def _files(self, ranges: dict[str, set[ByteRange]]) -> tuple[InputFile, ...]:
        if not ranges:
            asked = ", ".join(self.urls) or ", ".join(f"{k} in {list(v)}" for k, v in self.where.items())
            raise DataError(self.crawl, f"its index has no capture of {asked}", "check the patterns")
        files = (with_ranges(self._file(path), list(parts)) for path, parts in ranges.items())
        return tuple(sorted(files, key=lambda file: file.name))


class IndexBlock(NamedTuple):
    """A line of cluster.idx: the location of about 3,000 lines of the index, stored as one gzip member."""

    key: bytes
    file: str
    offset: int
    length: int


class Capture(NamedTuple):
    """A line of the index: the location of the record of one fetched page."""

    filename: str
    offset: int
    length: int


def find_blocks(cluster_url: str, pattern: Pattern) -> Iterator[IndexBlock]:
    """The blocks of a ZipNum index that may contain keys of the pattern, found by bisection with range requests."""
    file = HttpFile(cluster_url)
    try:
        start = _bisect(file, pattern.start)
        before: IndexBlock | None = None
        for line in _lines(file, start):
            block = _block(line, cluster_url)
            if block.key >= pattern.start and before is not None:
                yield before
            if block.key >= pattern.end:
                return
            before = block
        if before is not None:
            yield before
    finally:
        file.close()


def _bisect(file: HttpFile, key: bytes) -> int:
    """The offset of a line of cluster.idx that is before `key`, by at most `_PROBE_BYTES` or one line."""
    low, high = 0, file.size()
    while high - low > _PROBE_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        probe = read_exactly(file, min(_PROBE_BYTES, high - middle))
        begin = probe.find(b"\n") + 1
        end = probe.find(b"\n", begin)
        if begin == 0 or end < 0:
            break
        if probe[begin:end] < key:
            low = middle + begin
        else:
            high = middle
    return low


def _lines(file: HttpFile, offset: int) -> Iterator[bytes]:
    file.seek(offset)
    held = b""
    while data := file.read(_PROBE_BYTES):
        *lines, held = (held + data).split(b"\n")
        yield from lines
    if held:
        yield held


def _block(line: bytes, url: str) -> IndexBlock:
    try:
        key, file, offset, length, *_ = line.split(b"\t")
        return IndexBlock(key, file.decode("ascii"), int(offset), int(length))
    except ValueError:
        raise DataError(url, f"found the line {line[:100]!r}, allowed: key, file, offset, length, number") from None


def _matches(url: str, block: IndexBlock, pattern: Pattern) -> Iterator[Capture]:
    """The successful captures of a block that match the pattern (robots.txt and error pages are in other files)."""
    packed = fetch(url, block.offset, block.length)
    try:
        lines = gzip.decompress(packed).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(url, f"bytes {block.offset}+{block.length} are not a gzip member: {error}") from None
    for line in lines:
        if not pattern.start <= line < pattern.end:
            continue
        key, _, rest = line.partition(b" ")
        try:
            fields = json.loads(rest.partition(b" ")[2])
            capture = Capture(fields["filename"], int(fields["offset"]), int(fields["length"]))
            fits = pattern.matches(key, fields["url"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(url, f"not an index line: {line[:100]!r} ({error})") from None
        if fits and "/warc/" in capture.filename:
            yield capture
