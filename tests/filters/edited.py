"""One step on a list of texts or URLs, as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from dclm.curate.step import Context, Filter, Map
from dclm.text.features import FEATURES


def batch_of(texts: Sequence[str], urls: Sequence[str | None] | None = None) -> pa.RecordBatch:
    """A batch of documents, sliced so that its buffers do not start at 0."""
    rows = ["", *texts]
    places = [None, *(urls if urls is not None else [None] * len(texts))]
    ids = [str(row) for row in range(len(rows))]
    columns = {
        "id": ids,
        "url": pa.array(places, pa.string()),
        "text": pa.array(rows, pa.string()),
        "_row": range(len(rows)),
    }
    return pa.RecordBatch.from_pydict({k: v if isinstance(v, pa.Array) else list(v) for k, v in columns.items()}).slice(
        1
    )


def edit(step: Map, texts: Sequence[str], files: Mapping[str, Path] | None = None) -> list[str | None]:
    """The texts after the step; None for dropped ones. Checks that an empty batch works and that edits are counted."""
    function = step.open(Context(files={k: str(v) for k, v in (files or {}).items()}))
    assert function(batch_of([])).num_rows == 0
    batch = batch_of(texts)
    after = function(batch)
    assert after.num_rows == len(texts)
    drops = after.column("_drop").to_pylist() if "_drop" in after.schema.names else [False] * len(texts)
    assert min(after.column("_edits").to_pylist(), default=0) >= 0
    for text in after.column("text"):
        text.as_py()  # raises if the bytes are not UTF-8
    return [None if drop else text for text, drop in zip(after.column("text").to_pylist(), drops, strict=True)]


def keeps(
    step: Filter,
    texts: Sequence[str],
    urls: Sequence[str | None] | None = None,
    files: Mapping[str, Path] | None = None,
) -> list[bool]:
    """The filter's decision on each text or URL."""
    function = step.open(Context(files={k: str(v) for k, v in (files or {}).items()}))
    batch = batch_of(texts, urls)
    for feature in step.features:
        batch = batch.append_column(f"_{feature}", FEATURES[feature](batch.column("text")))
    assert len(function(batch.slice(0, 0))) == 0
    kept: list[bool] = function(batch).to_pylist()
    return kept


def keeps_urls(step: Filter, urls: Sequence[str | None], files: Mapping[str, Path] | None = None) -> list[bool]:
    """The decisions of a URL filter."""
    return keeps(step, [""] * len(urls), urls, files)
