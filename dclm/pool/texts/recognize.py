"""Recognizes which public corpus the layout of files matches, and where text, URL, id and date are, before a run."""

from __future__ import annotations

import contextlib
import itertools
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from dclm.pool.files import InputFile, PoolFiles
from dclm.pool.streams import open_stream, parquet_file
from dclm.pool.texts import delimited, jsonl
from dclm.pool.texts.layout import NESTED, FieldName, as_object, look_up

_PEEKED_ROWS = 20
_PEEKED_FILES = 32
_SHOWN = 12
_NAMES: tuple[FieldName, ...] = ("text", "url", "id", "date")

LAYOUTS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (name, frozenset(fields.split()))
    for name, fields in (
        ("FineWeb-Edu", "text url dump int_score"),
        ("FineWeb-2", "text url language_script minhash_cluster_size"),
        ("FineWeb", "text id dump url file_path token_count"),
        ("DCLM-Baseline", "text url language_id_whole_page_fasttext"),
        ("DCLM-Pool and DCLM-RefinedWeb", "text metadata.WARC-Record-ID"),
        ("DCLM-Pool and DCLM-RefinedWeb", "text metadata.WARC-Target-URI"),
        ("DCLM-Pool and DCLM-RefinedWeb", "text metadata.WARC-Date"),
        ("RedPajama-V2", "raw_content"),
        ("OSCAR", "content warc_headers"),
        ("OSCAR", "content meta.warc_headers"),
        ("RefinedWeb", "content url timestamp dump"),
        ("The Stack", "content max_stars_repo_path"),
        ("Dolma", "id text source added"),
        ("Dolma", "id text source created"),
        ("The Pile", "text meta.pile_set_name"),
        ("SlimPajama", "text meta.redpajama_set_name"),
        ("RedPajama", "text meta red_pajama_subset"),
        ("CulturaX", "text timestamp url source"),
        ("C4", "text timestamp url"),
        ("HPLT", "text u ts"),
        ("Wikipedia of Hugging Face", "id url title text"),
        ("datatrove", "text id metadata"),
    )
)
"""Corpus → fields that distinguish its layout, most specific corpora first."""


class Layout(NamedTuple):
    """Layout of the first documents of a file."""

    corpus: str | None
    places: Mapping[str, str]
    """text, url, id, date → its field; those found in no document are left out."""
    others: tuple[str, ...]
    """Other fields, in order."""


def describe_pool(files: Sequence[InputFile]) -> list[str]:
    """Lines about a pool: its files, files next to them that are not read, and each layout.

    For each layout: its corpus, the fields of text, URL, id and date, and the fields that are not read.
    Reads the first documents of at most 32 files, starting with one of each folder. Archives have no layout.
    Raises: DataError if a file cannot be opened.
    """
    places: Counter[tuple[str, str]] = Counter()
    ranked: list[tuple[int, InputFile]] = []
    for file in files:
        if file.kind != "warc" and not file.artifact:
            place = (posixpath.dirname(file.path), file.kind)
            ranked.append((places[place], file))
            places[place] += 1
    ranked.sort(key=lambda pair: pair[0])
    lines: dict[str, str] = {}
    for _, file in ranked[:_PEEKED_FILES]:
        layout = recognize(file)
        if layout is not None:
            lines.setdefault(_line(layout, file), file.name)
    unread = files.unread if isinstance(files, PoolFiles) else ()
    more = f"; not read: {len(unread)} other files, first: {unread[0]}" if unread else ""
    size = sum(file.size for file in files) / 1e6
    number = f"{len(files)} file{'s' if len(files) != 1 else ''}"
    return [f"{number}, {size:,.1f} MB{more}", *(f"{name}: {line}" for line, name in lines.items())]


def recognize(file: InputFile) -> Layout | None:
    """The layout of a file of JSON lines, CSV or Parquet; None if no document can be read."""
    rows = _first_rows(file)
    if not rows:
        return None
    seen = _field_names(rows)
    corpus = next((name for name, fields in LAYOUTS if fields <= seen), None)
    places: dict[str, str] = {}
    for name in _NAMES:
        found = (path for path in file.fields.paths(name) if any(look_up(row, path) not in (None, "") for row in rows))
        if (place := next(found, None)) is not None:
            places[name] = place
    used = {path.partition(".")[0] for path in places.values()} | {path for path, _ in file.fields.keep}
    others = dict.fromkeys(name for row in rows for name in row if name not in used)
    return Layout(corpus, places, tuple(others))


def _line(layout: Layout, file: InputFile) -> str:
    corpus = f"layout of {layout.corpus}" if layout.corpus else "unknown layout"
    places = ", ".join(f"{name} in `{place}`" for name, place in layout.places.items())
    missing = [name for name in _NAMES if name not in layout.places]
    said = [corpus, places, f"no {', '.join(missing)} in the first documents" if missing else ""]
    if layout.others:
        more = f" and {len(layout.others) - _SHOWN} more" if len(layout.others) > _SHOWN else ""
        said.append(f"not read: {', '.join(layout.others[:_SHOWN])}{more}")
    return "; ".join(part for part in said if part)


def _field_names(rows: Iterable[Mapping[str, object]]) -> set[str]:
    """Names of fields; nested ones with a dot."""
    seen: set[str] = set()
    for row in rows:
        seen |= set(row)
        for name in NESTED:
            seen |= {f"{name}.{key}" for key in as_object(row.get(name))}
    return seen


def _first_rows(file: InputFile) -> Sequence[Mapping[str, object]]:
    if file.kind == "csv":
        return delimited.first_records(file, _PEEKED_ROWS)
    return _parquet_rows(file) if file.kind == "parquet" else _json_rows(file)


def _json_rows(file: InputFile) -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = []
    for line in itertools.islice(jsonl.read_objects(file, []), _PEEKED_ROWS):
        if line is not None and line.strip():
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(line)
                rows += [value] if isinstance(value, dict) else []
    return rows


def _parquet_rows(file: InputFile) -> list[Mapping[str, object]]:
    """The first rows: nested fields in full; other fields only as a placeholder for whether they have a value."""
    with contextlib.closing(open_stream(file.path)) as stream:
        try:
            parquet = parquet_file(stream)
            names = parquet.schema_arrow.names
            paths = {path for name in _NAMES if name != "text" for path in file.fields.paths(name)}
            wanted = [n for n in names if n in NESTED or n in paths or any(p.startswith(f"{n}.") for p in paths)]
            batch = next(parquet.iter_batches(_PEEKED_ROWS, columns=wanted), None) if wanted else None
        except (pa.ArrowInvalid, pa.ArrowCapacityError, OSError):
            return []  # the reader reports the problem
        if parquet.metadata.num_rows == 0:
            return []
    rows = batch.to_pylist(maps_as_pydicts=None) if batch is not None else [{}]
    return [{name: row.get(name, "…") for name in names} for row in rows]
