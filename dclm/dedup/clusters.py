"""The tables of clusters and their edges that near-duplicate steps leave beside the documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dclm.dedup.columns import F64, I64, row_of, shard_of


def clusters_table(documents: I64, kept: I64) -> pa.Table:
    """Columns cluster, shard, row, kept: members of clusters of two or more, sorted by cluster and document order.

    `kept[i]` is the document that stays for `documents[i]` (packed, see `columns.pack`). Clusters are numbered in the
    order of their kept documents.
    """
    shared, cluster = _numbered(kept)
    documents, kept = documents[shared], kept[shared]
    order = np.lexsort((documents, cluster))
    documents, cluster = documents[order], cluster[order]
    return pa.table(
        {
            "cluster": pa.array(cluster, pa.int64()),
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "kept": pa.array(documents == kept[order]),
        }
    )


def edges_table(documents: I64, kept: I64, jaccard: F64 | None) -> pa.Table:
    """Columns cluster, shard, row, kept_shard, kept_row, jaccard: each dropped document beside the one that stays.

    Sorted as `clusters_table`, which numbers the clusters alike. Without `jaccard` (one a document) the column is null:
    the two were linked by keys they share, or through others, and not compared.
    """
    shared, cluster = _numbered(kept)
    order = np.lexsort((documents[shared], cluster))
    cluster, place = cluster[order], shared[order]
    gone = documents[place] != kept[place]
    cluster, place = cluster[gone], place[gone]
    return pa.table(
        {
            "cluster": pa.array(cluster, pa.int64()),
            "shard": pa.array(shard_of(documents[place]), pa.int32()),
            "row": pa.array(row_of(documents[place]), pa.int64()),
            "kept_shard": pa.array(shard_of(kept[place]), pa.int32()),
            "kept_row": pa.array(row_of(kept[place]), pa.int64()),
            "jaccard": pa.nulls(len(place), pa.float64()) if jaccard is None else pa.array(jaccard[place]),
        }
    )


def _numbered(kept: I64) -> tuple[I64, I64]:
    """Places of the documents in clusters of two or more, and the number of each one's cluster."""
    _, cluster, size = np.unique(kept, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(size[cluster] > 1)
    number = np.cumsum(size > 1) - 1
    return shared, number[cluster[shared]]


def cluster_counts(kept: I64) -> dict[str, int]:
    """`clusters` of two or more documents, `duplicates` dropped, and the number of documents in the largest cluster."""
    _, size = np.unique(kept, return_counts=True)
    shared = size[size > 1]
    return {
        "clusters": len(shared),
        "duplicates": int(shared.sum()) - len(shared),
        "largest_cluster": int(shared.max(initial=0)),
    }
