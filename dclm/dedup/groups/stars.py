"""Connected components on many workers: edges become stars in rounds that process one document's edges at a time.

Edges are rows (key, other) of packed documents. A large-star round sees every edge from both ends, a small-star round
from the later one. Both preserve connectivity; when neither changes anything, every document except the first of its
component has one edge, to that first.

Source: Kiveris et al., Connected Components in MapReduce and Beyond (SoCC 2014): O(log² n) rounds, in practice about
log n. A worker holds the edges of some keys: the documents of at most one component, 16 bytes each, in addition to a
piece.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dclm.curate.exchange.passes import Pass
from dclm.dedup.columns import I64, ints


def edges_of(links: pa.Table) -> pa.Table:
    """Both directions of links `first`, `second`: the input of the first round, a large star."""
    return _both(ints(links, "second"), ints(links, "first"))


def large_star(rows: pa.Table) -> Pass:
    """Links each later neighbor of a document to the first among the document and its neighbors."""
    key, other, least, _ = _neighbours(rows)
    least = np.minimum(least, key)
    later = other > key
    return Pass(rows=_table(other[later], least[later]), num_changed=int((least < key)[later].sum()))


def small_star(rows: pa.Table) -> Pass:
    """Links a document and its neighbors, all of them earlier, to the first of these."""
    key, other, least, starts = _neighbours(rows)
    more = other != least
    low = np.concatenate([least[starts], least[more]])
    return Pass(rows=_both(np.concatenate([key[starts], other[more]]), low), num_changed=int(more.sum()))


def _neighbours(rows: pa.Table) -> tuple[I64, I64, I64, I64]:
    """Distinct rows sorted by (key, other); the smallest `other` of each row's key; where keys begin."""
    key, other = ints(rows, "key"), ints(rows, "other")
    order = np.lexsort((other, key))
    key, other = key[order], other[order]
    new = np.ones(len(key), np.bool_)
    new[1:] = (key[1:] != key[:-1]) | (other[1:] != other[:-1])
    key, other = key[new], other[new]
    begins = np.ones(len(key), np.bool_)
    begins[1:] = key[1:] != key[:-1]
    starts = np.flatnonzero(begins)
    return key, other, other[starts][np.cumsum(begins) - 1] if len(key) else other, starts


def _both(high: I64, low: I64) -> pa.Table:
    return _table(np.concatenate([high, low]), np.concatenate([low, high]))


def _table(key: I64, other: I64) -> pa.Table:
    return pa.table({"key": pa.array(key.astype(np.uint64)), "other": pa.array(other)})
