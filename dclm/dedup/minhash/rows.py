"""Rows of MinHash's decision by document, by root and by kept document: see `dclm.dedup.minhash.groups`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from dclm.dedup.columns import I64, U64, documents_of, ints
from dclm.dedup.groups.components import Components
from dclm.dedup.minhash.decision import best_of, rows_to_verify
from dclm.dedup.minhash.known import gone_for_index, without
from dclm.dedup.minhash.verify import VerifiedDrops

_CARRIED: Mapping[str, type[np.generic]] = {"whole": np.uint64, "order": np.int64, "known": np.float64}
_GONE = np.uint64(1 << 63)
"""Added to the key of a document that an index contains: such documents come last, and each has its own key."""


def keyed(table: pa.Table, name: str) -> pa.Table:
    """The table with a column of documents as its key."""
    rest = table.drop_columns(["key"]) if "key" in table.column_names else table
    return rest.add_column(0, "key", pa.array(ints(table, name).astype(np.uint64)))


def of_links(links: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """The documents of reduced links, with the columns that the links carry."""
    documents, place = np.unique(np.concatenate([ints(links, "first"), ints(links, "second")]), return_index=True)
    columns = {"key": documents.astype(np.uint64), "root": np.full(len(documents), -1)}
    for name in names:
        both = [links.column(f"{name}_{end}").to_numpy() for end in ("first", "second")]
        columns[name] = np.concatenate(both)[place].astype(_CARRIED[name])
    return pa.Table.from_pydict(columns)


def of_stars(stars: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Documents other than roots, with their root."""
    key, root = ints(stars, "key"), ints(stars, "other")
    leaf = root < key
    columns = {"key": key[leaf].astype(np.uint64), "root": root[leaf]}
    return pa.Table.from_pydict(columns | {name: np.zeros(int(leaf.sum()), _CARRIED[name]) for name in names})


def join_rows(rows: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """One row per document: its root, which may be itself, and what its keys carry."""
    document, root = ints(rows, "key"), ints(rows, "root")
    order = np.lexsort((root, document))
    begins = run_starts(document[order])
    last = np.append(begins[1:], len(order))[: len(begins)] - 1
    found = root[order[last]]
    first = order[begins]  # rows of links come before those of stars
    document = document[first]
    columns = {"document": document, "root": np.where(found < 0, document, found)}
    return pa.Table.from_pydict(columns | {name: rows.column(name).to_numpy()[first] for name in names})


def choose_rows(rows: pa.Table, *, ordered: bool, against: bool, verified: bool) -> pa.Table:
    """Columns key, document, kept, similarity, known, cluster, for whole components: what is kept of each, or verified.

    The key is the kept document, by which rows are sorted; for a document that an index contains, see `_GONE`.
    """
    rows = rows.take(np.argsort(ints(rows, "document")))
    documents = ints(rows, "document")
    found = Components(documents, np.searchsorted(documents, ints(rows, "root")), 0)
    gone = np.zeros(len(documents), np.bool_)
    known = np.zeros(len(documents), np.float64)
    if against:
        known = rows.column("known").to_numpy()
        gone = gone_for_index(found, known, verified)
    left = without(found, gone)
    order = ints(rows, "order")[~gone] if ordered else None
    group: tuple[I64 | U64, ...] = (left.root,)
    if verified:
        group = (rows.column("whole").to_numpy()[~gone], left.root)
    best = best_of(group, order)
    kept, cluster = documents.copy(), np.full(len(documents), -1)
    kept[~gone] = left.documents[best]
    if verified:
        chosen = rows_to_verify(left, best)
        cluster[np.searchsorted(documents, documents_of(chosen))] = ints(chosen, "_cluster")
    key = kept.astype(np.uint64) + np.where(gone, _GONE, np.uint64(0))
    columns = {"key": key, "document": documents, "kept": kept, "known": known, "cluster": cluster}
    return by_key(pa.Table.from_pydict(columns))


def of_verified(table: pa.Table) -> pa.Table:
    """Dropped documents by themselves, with the kept one."""
    drops = VerifiedDrops.of(table)
    return pa.Table.from_pydict(
        {
            "key": documents_of(drops).astype(np.uint64),
            "document": np.full(drops.num_rows, -1),
            "kept": documents_of(drops, "kept_"),
            "similarity": drops.column("similarity").to_numpy(),
        }
    )


def of_best(chosen: pa.Table) -> pa.Table:
    """Documents that no index contains, by the copy that was verified for them."""
    mine = chosen.filter(pa.array(~is_gone(chosen)))
    kept = ints(mine, "kept")
    columns = {"key": kept.astype(np.uint64), "document": ints(mine, "document"), "kept": kept}
    return pa.Table.from_pydict(columns | {"similarity": np.ones(len(kept))})


def follow_rows(rows: pa.Table) -> pa.Table:
    """Documents with the kept one: that of their copy, if it was dropped, else the copy itself."""
    key, document = ints(rows, "key"), ints(rows, "document")
    order = np.lexsort((document, key))
    begins = run_starts(key[order])
    count = np.diff(np.append(begins, len(order)))
    first = np.repeat(order[begins], count)  # a drop, if there is one: it comes before all documents
    mine = document[order] >= 0
    columns = {"document": document[order][mine], "kept": ints(rows, "kept")[first][mine]}
    return pa.table(columns | {"similarity": rows.column("similarity").to_numpy()[first][mine]})


def by_key(rows: pa.Table) -> pa.Table:
    """The rows in order of their key, then the document."""
    order = np.lexsort((ints(rows, "document"), rows.column("key").to_numpy()))
    return rows.take(order)


def is_gone(table: pa.Table) -> np.ndarray:
    """Documents that an index contains."""
    gone: np.ndarray = table.column("key").to_numpy() >= _GONE
    return gone


def run_starts(values: np.ndarray) -> I64:
    """Where runs of equal values begin."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return np.flatnonzero(new)
