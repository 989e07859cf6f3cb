"""The step that turns pages into documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.config import Positive, Range
from dclm.curate.step import Context, Map, MapFunction
from dclm.extract.budget import Budget
from dclm.extract.encoding import decode_detected, decode_utf8
from dclm.extract.extractors import DISTRIBUTIONS, ExtractorName, load_extractor
from dclm.extract.guard import ExtractionError, Guard, KilledError
from dclm.extract.harmless import is_harmless
from dclm.extract.media import is_binary, is_plain_text, no_page
from dclm.extract.union import union
from dclm.extract.wheels import EarlierVersion, unpack, wheel_asset

_MAX_MEMORY_BYTES = 1 << 30  # address space of a child that parses; 16 MiB of HTML need at most about 0.7 GB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extract(Map):
    """Turns HTML pages into text: replaces `body` and `content_type` with `text`. Documents with text pass through.

    A page without main text keeps the empty text, for filters to drop. A page in an encoding that is not allowed,
    larger than `max_bytes`, or on which the parser fails, hangs or needs more than 1 GiB becomes a reject; the worker
    survives. Source: DCLM tools/commoncrawl with the default settings, where all such pages are silently lost.
    """

    name: ClassVar[str] = "extract"
    version: ClassVar[int] = 6

    with_: ExtractorName | tuple[ExtractorName, ...] = "resiliparse"
    """Extractor. For a list, the first one's text is followed by the lines that only the others found."""
    version_: EarlierVersion | None = None
    """Version of Resiliparse; null: the installed one, 2.x. DCLM's own pool was extracted when 0.14.5 was current. The
    wheel of an earlier version is downloaded, unpacked and run in the child process, never installed; there are wheels
    for Linux on x86_64 with CPython 3.11 and 3.12 (0.15.2: also 3.13)."""
    encoding: Literal["utf-8", "detect"] = "utf-8"
    """utf-8: other pages are rejects, as in DCLM. detect: by byte order mark, HTTP header, <meta>, or statistics, with
    U+FFFD for bytes that do not fit; images, fonts, style sheets, scripts and other payloads that are not pages are
    rejects (to drop them, put `media_type` before this step)."""
    plain_text: Literal["keep", "extract"] = "keep"
    """For plain text, that is, pages that are declared text/plain and are not HTML, or that have no declared type and
    no tag. keep: the text is the page with its line breaks. extract: the extractor joins the lines, as in DCLM."""
    timeout_seconds: Annotated[float, Range(0.1)] = 30.0
    """Maximum time per page and extractor."""
    max_bytes: Positive = 16 << 20
    """Maximum size of a page; larger ones are rejects."""
    max_killed_per_host: Positive = 3
    """Maximum number of pages of one host in one file that may exceed the time or memory limit; after that, its pages
    that need the guarded process are rejected without being tried."""
    max_killed_per_file: Positive = 8
    """The same for all hosts of a file together."""

    def __post_init__(self) -> None:
        if not self.with_ or len(set(self._names)) < len(self._names):
            raise ValueError("`with` needs one extractor, or several different ones")
        if self.version_ is not None and "resiliparse" not in self._names:
            raise ValueError(f"`version` applies to Resiliparse only, but `with` is {', '.join(self._names)}")

    @property
    def _names(self) -> tuple[ExtractorName, ...]:
        return (self.with_,) if isinstance(self.with_, str) else self.with_

    @property
    def libraries(self) -> tuple[str, ...]:
        installed = (name for name in self._names if name != "resiliparse" or self.version_ is None)
        return tuple(sorted({DISTRIBUTIONS[name] for name in installed}))

    @property
    def assets(self) -> tuple[str, ...]:
        """The wheel of an earlier version. Raises: ConfigError if none fits this machine."""
        return () if self.version_ is None else (wheel_asset(self.version_),)

    def open(self, context: Context) -> MapFunction:
        """See the class."""
        earlier = None if self.version_ is None else unpack(context.file(wheel_asset(self.version_)))
        budget = Budget(self.max_killed_per_host, self.max_killed_per_file)
        extractors = [
            _guarded(name, self.timeout_seconds, budget, earlier if name == "resiliparse" else None)
            for name in self._names
        ]

        def one(body: memoryview, content_type: str | None) -> str:
            if len(body) > self.max_bytes:
                raise ExtractionError(f"{len(body)} bytes, allowed: {self.max_bytes}")
            html = decode_utf8(body) if self.encoding == "utf-8" else _decode_page(body, content_type)
            if html is None:
                raise ExtractionError("not UTF-8")
            if self.plain_text == "keep" and is_plain_text(body, content_type):
                return html.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
            data = body if self.encoding == "utf-8" else html.encode("utf-8", "replace")
            texts = [extract(html, data) for extract in extractors]
            return texts[0] if len(texts) == 1 else union(texts)

        def run(batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch if "body" not in batch.schema.names else _to_documents(batch, one, budget)

        return run


def _decode_page(body: memoryview, content_type: str | None) -> str:
    """The text of a page in any encoding. Raises: ExtractionError if the payload is not a page."""
    kind = no_page(body, content_type)
    text = "" if kind else decode_detected(bytes(body), content_type)
    if kind or is_binary(text):
        raise ExtractionError(f"no page: {kind or 'binary data'}")
    return text


def _guarded(
    name: ExtractorName, timeout_seconds: float, budget: Budget, packages: Path | None
) -> Callable[[str, bytes | memoryview], str]:
    """The extractor, a function of a page and its UTF-8; in a child process unless it is Resiliparse and the page is
    harmless (88 % of a crawl).

    Packages in `packages` are always imported there: a process can hold only one version of a library.
    """
    guard = Guard(name, timeout_seconds, _MAX_MEMORY_BYTES, packages)
    direct = load_extractor(name) if name == "resiliparse" and packages is None else None

    def extract(html: str, data: bytes | memoryview) -> str:
        if direct is not None and is_harmless(html, data):
            return _caught(direct, html)
        if reason := budget.exhausted():
            raise ExtractionError(reason)
        try:
            return guard.extract(data)
        except KilledError:
            budget.charge()
            raise

    return extract


def _caught(extract: Callable[[str], str], html: str) -> str:
    """Raises: ExtractionError for anything that the parser raises; a panic of its Rust code is a BaseException."""
    try:
        return extract(html)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ExtractionError(f"parser failed: {type(error).__name__}: {error}"[:300]) from error


def _to_documents(
    batch: pa.RecordBatch, one: Callable[[memoryview, str | None], str], budget: Budget
) -> pa.RecordBatch:
    rejects: list[str | None] = [None] * batch.num_rows
    if "_reject" in batch.schema.names:
        rejects = batch.column("_reject").to_pylist()
    texts: list[str | None] = []
    bodies, types = batch.column("body"), batch.column("content_type").to_pylist()
    places = [batch.column(name).to_pylist() for name in ("source", "_row", "url")]
    for row, (body, content_type, *place) in enumerate(zip(bodies, types, *places, strict=True)):
        text: str | None = None
        if rejects[row] is None:
            budget.enter(*place)
            try:
                text = one(memoryview(body.as_buffer()), content_type)
            except ExtractionError as error:
                rejects[row] = str(error)
        texts.append(text)
    kept = [name for name in batch.schema.names if name not in ("body", "content_type", "_rights", "_reject")]
    at = kept.index("source") + 1
    columns = [batch.column(name) for name in kept]
    fields = [batch.schema.field(name) for name in kept]
    columns.insert(at, pa.array(texts, pa.string()))
    fields.insert(at, pa.field("text", pa.string()))
    columns.append(pc.cast(pa.array(rejects), pa.string()))
    fields.append(pa.field("_reject", pa.string()))
    return pa.record_batch(columns, schema=pa.schema(fields))
