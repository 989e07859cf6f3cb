"""The `pool:` of a recipe: the files, Common Crawl selection or generated crawl from which documents are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from dclm.core.config import Count, Positive
from dclm.core.errors import ConfigError
from dclm.core.record import RECORD, read_record, write_record
from dclm.core.stages.lease import held
from dclm.core.stages.stage import publish
from dclm.core.storage import is_local, remove_temporary
from dclm.core.stores.cache import scratch_directory
from dclm.core.stores.store import exists, join
from dclm.documents.schema import DOCUMENT
from dclm.pool.commoncrawl import CommonCrawl
from dclm.pool.files import InputFile, PoolFiles, PoolKind, list_files, with_fields
from dclm.pool.texts.layout import Fields, KeptType


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A generated crawl in real WARC files. See `dclm.pool.sample.crawl`."""

    seed: Count = 0
    documents: Positive = 2000
    files: Positive = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refetched:
    """Files that occur in the pool several times, like pages in a pool of several crawls."""

    files: tuple[str, ...]
    """Files, directories or globs."""
    times: Positive
    """Number of times that each record occurs."""


_SOURCES = ("warc", "jsonl", "parquet", "csv", "commoncrawl", "sample", "refetched")

_TEXTS: tuple[PoolKind, ...] = ("jsonl", "parquet", "csv")
"""The kinds whose texts are in named fields, which a recipe may map."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolMap:
    """Exactly one of these keys."""

    warc: tuple[str, ...] | None = None
    """Files, directories or globs of WARC, ARC or WET."""
    jsonl: tuple[str, ...] | None = None
    """Files, directories or globs of JSON lines with `text`."""
    parquet: tuple[str, ...] | None = None
    """Files, directories or globs of Parquet with a column `text`."""
    csv: tuple[str, ...] | None = None
    """Files, directories or globs of CSV or TSV with a header that has `text`."""
    commoncrawl: CommonCrawl | None = None
    """A selection of Common Crawl."""
    sample: Sample | None = None
    """A generated crawl."""
    refetched: Refetched | None = None
    """Files that occur several times."""
    text: str | None = None
    """With `jsonl`, `parquet` or `csv`: the field that contains the text; `a.b` is `b` in `a`."""
    url: str | None = None
    """The same for the URL."""
    id: str | None = None
    """The same for the id."""
    date: str | None = None
    """The same for the date."""
    keep: tuple[str, ...] | dict[str, Literal["number", "text"]] | None = None
    """The same: fields that become columns of the documents, each with its type; a list is read as numbers."""

    def __post_init__(self) -> None:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'no key'}, allowed: one of {', '.join(_SOURCES)}")
        named = [name for name in ("text", "url", "id", "date", "keep") if getattr(self, name) is not None]
        if named and given[0] not in _TEXTS:
            raise ValueError(f"found `{named[0]}` with `{given[0]}`, allowed: with {', '.join(_TEXTS)}")
        clash = [name for name, _ in self.fields.keep if name in DOCUMENT.names or name.startswith("_")]
        if clash:
            raise ValueError(f"`keep` has {clash[0]}, which is the name of a built-in column")

    @property
    def fields(self) -> Fields:
        """The names of the fields in the files."""
        keep = dict.fromkeys(self.keep, "number") if isinstance(self.keep, tuple) else self.keep or {}
        kept = tuple((name, cast(KeptType, kind)) for name, kind in keep.items())
        return Fields(text=self.text, url=self.url, id=self.id, date=self.date, keep=kept)


PoolSpec = str | tuple[str, ...] | PoolMap
"""A path, a list of paths, or a map with one key."""


def resolve_pool(
    spec: PoolSpec, workdir: str, resolve: Callable[[str], str] = lambda path: path
) -> tuple[InputFile, ...]:
    """The files of a pool. Generated crawls and downloaded indexes are stored under `workdir`.

    `resolve` turns a path in the recipe into one on this machine. Raises: DataError for paths that match nothing,
    ConfigError if the kind of the files does not match the key.
    """
    if isinstance(spec, str):
        return list_files([resolve(spec)])
    if isinstance(spec, tuple):
        return list_files([resolve(path) for path in spec])
    if spec.commoncrawl is not None:
        return spec.commoncrawl.files(resolve)
    if spec.sample is not None:
        return list_files([_make_sample(workdir, spec.sample)])
    if spec.refetched is not None:
        files = list_files([resolve(path) for path in spec.refetched.files])
        fetches = range(1, spec.refetched.times + 1)
        again = PoolFiles(dataclasses.replace(f, name=f"fetch-{n}/{f.name}") for n in fetches for f in files)
        again.unread = files.unread
        return again
    kinds: tuple[PoolKind, ...] = ("warc", *_TEXTS)
    kind = next(kind for kind in kinds if getattr(spec, kind) is not None)
    files = list_files([resolve(path) for path in getattr(spec, kind)])
    wrong = [file for file in files if file.kind != kind]
    if wrong:
        raise ConfigError(wrong[0].path, f"found a file of kind {wrong[0].kind}, allowed under `{kind}`: {kind}")
    return with_fields(files, spec.fields)


def pool_paths(spec: PoolSpec) -> tuple[str, ...]:
    """The paths that a pool names, as written in the recipe; none for one that is generated or downloaded."""
    if isinstance(spec, str):
        return (spec,)
    if isinstance(spec, tuple):
        return spec
    if spec.refetched is not None:
        return spec.refetched.files
    if spec.commoncrawl is not None:
        return spec.commoncrawl.index
    return spec.warc or spec.jsonl or spec.parquet or spec.csv or ()


def sample_name(sample: Sample) -> str:
    """The folder of a generated crawl."""
    return f"sample-{sample.seed}-{sample.documents}-{sample.files}"


def _make_sample(workdir: str, sample: Sample) -> str:
    from dclm.pool.sample.crawl import make_sample  # its word lists are needed only here

    address = join(workdir, sample_name(sample))
    if is_local(address):
        if not exists(join(address, RECORD)) and Path(workdir).is_dir():
            with held(workdir):
                remove_temporary(Path(workdir))  # left behind by a killed run
        return str(make_sample(Path(address), sample.seed, sample.documents, sample.files))
    if not exists(join(address, RECORD)):
        with scratch_directory() as folder:
            made = make_sample(folder / "sample", sample.seed, sample.documents, sample.files)
            record = read_record(made)
            (made / RECORD).unlink()
            publish(made, address)
            write_record(address, record)
    return address
