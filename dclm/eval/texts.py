"""Named sets of clean text on which perplexity is measured: one file each in `eval_suite/texts/`."""

from __future__ import annotations

import dataclasses
import gzip
import random
import re
from functools import cache
from pathlib import Path
from typing import Literal

from dclm.assets import Asset, LocalFile, fetch_asset
from dclm.assets.sources import AssetSource, Transform
from dclm.core.config import Positive, build, load_yaml, suggest
from dclm.core.errors import ConfigError, DataError
from dclm.core.names import is_name
from dclm.core.record import fingerprint
from dclm.eval.data.rows import Row, canonical_rows, parse_rows
from dclm.eval.task import SUITE_DIR
from dclm.pool.sample.text import article, plain_text

Form = Literal["jsonl", "wikitext", "generated"]
GENERATED_ARTICLES = 40
_TITLE = re.compile(r"(?m)^ = [^=].* = \n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextData:
    """The documents of a set."""

    form: Form
    """jsonl: lines with `text`, gzipped; wikitext: articles under ` = Title = `; generated: articles of the kind in the
    sample pool, but not contained in any pool."""
    file: str
    """The asset is `text/<file>`; for forms other than `generated` also a path below the folders of local files."""
    first: Positive | None = None
    """Use only this many documents from the start."""
    documents: Positive
    """Number of documents that count."""
    bytes: Positive
    """Bytes of their texts in UTF-8."""
    sha256: str
    """sha256 of all documents of the file as rows `{"text": …}` in canonical JSON
    (`dclm.eval.data.rows.rows_sha256`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSet:
    """One file of `eval_suite/texts/`."""

    text: str
    """The name, equal to the file's name."""
    version: Positive
    about: str
    """A one-sentence description."""
    data: TextData
    source: str
    """Author of the text."""
    licence: str

    @property
    def hash(self) -> str:
        """sha256 over everything that affects a score."""
        return fingerprint({"version": self.version, "data": dataclasses.asdict(self.data)})


@cache
def load_text_set(name: str, folder: Path = SUITE_DIR) -> TextSet:
    """The set named `name`.

    Raises: ConfigError if it does not exist (naming the nearest), or if its file is wrong.
    """
    path = folder / "texts" / f"{name}.yaml"
    if not is_name(name) or not path.is_file():
        names = text_names(folder)
        raise ConfigError(f"perplexity {name}", f"no such text, allowed: {', '.join(names)}", suggest(name, names))
    source = load_yaml(path)
    found = build(TextSet, source)
    if found.text != name:
        raise ConfigError(source.where(("text",)), f"found {found.text!r}, allowed: the file's name, {name!r}")
    return found


def text_names(folder: Path = SUITE_DIR) -> list[str]:
    """The names of all sets, sorted."""
    return sorted(path.stem for path in (folder / "texts").glob("*.yaml"))


def read_documents(texts: TextSet) -> list[str]:
    """The documents that count.

    Raises: AssetError if they are not available; DataError if they do not match the set's file.
    """
    data = texts.data
    rows = parse_rows(data.file, fetch_asset(_asset(texts)).read_bytes())
    found = [str(row["text"]) for row in rows][: data.first]
    size = sum(len(text.encode()) for text in found)
    if (len(found), size) != (data.documents, data.bytes):
        what = f"found {len(found)} documents of {size} bytes, allowed: {data.documents} of {data.bytes}"
        raise DataError(f"text {texts.text}", what)
    if "" in found:
        raise DataError(f"text {texts.text}, document {found.index('')}", "found no text")
    return found


def _asset(texts: TextSet) -> Asset:
    data = texts.data
    transforms: dict[Form, Transform] = {"jsonl": rows_of_jsonl, "wikitext": rows_of_wikitext}
    source: AssetSource
    if data.form == "generated":
        source = Articles(name=texts.text)
    else:
        source = LocalFile(path=f"text/{data.file}", transform=transforms[data.form])
    return Asset(
        name=f"text/{data.file}",
        sources=(source,),
        sha256=data.sha256,
        licence=texts.licence,
        description=texts.about,
    )


def rows_of_jsonl(content: bytes) -> bytes:
    """The texts of gzipped JSON lines. Raises: DataError for a line without text."""
    rows: list[Row] = []
    for number, row in enumerate(parse_rows("text", gzip.decompress(content))):
        if not isinstance(row.get("text"), str):
            raise DataError("text", f"row {number}: column `text`: found {row.get('text')!r:.60}, allowed: str")
        rows.append({"text": row["text"]})
    return canonical_rows(rows)


def rows_of_wikitext(content: bytes) -> bytes:
    """The articles of a WikiText file, each starting with its title."""
    text = content.decode()
    starts = [match.start() for match in _TITLE.finditer(text)]
    return canonical_rows({"text": text[a:b]} for a, b in zip(starts, [*starts[1:], len(text)], strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Articles:
    """Clean English of the kind in the sample pool, newly generated and the same on every machine."""

    name: str
    transform: Transform | None = None

    def describe(self) -> str:
        """A description of this source, for a table or an error."""
        return f"{GENERATED_ARTICLES} generated articles"

    def read(self) -> bytes:
        """The articles in canonical JSONL."""
        made = (plain_text(article(random.Random(f"text {self.name} {i}"))) for i in range(GENERATED_ARTICLES))
        return canonical_rows({"text": text} for text in made)
