"""The table of clusters that near-duplicate steps leave beside the documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dclm.dedup.columns import I64, row_of, shard_of


def clusters_table(documents: I64, kept: I64) -> pa.Table:
    """Columns cluster, shard, row, kept: members of clusters of two or more, sorted by cluster and document order.

    `kept[i]` is the document that stays for `documents[i]` (packed, see `columns.pack`). Clusters are numbered in the
    order of their kept documents.
    """
    leaders, cluster, size = np.unique(kept, return_inverse=True, return_counts=True)
    shared = size[cluster] > 1
    number = np.cumsum(size > 1) - 1
    documents, cluster = documents[shared], number[cluster[shared]]
    order = np.lexsort((documents, cluster))
    documents, cluster = documents[order], cluster[order]
    return pa.table(
        {
            "cluster": pa.array(cluster, pa.int64()),
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "kept": pa.array(np.isin(documents, leaders)),
        }
    )


def cluster_counts(kept: I64) -> dict[str, int]:
    """`clusters` of two or more documents, `duplicates` dropped, and the number of documents in the largest cluster."""
    _, size = np.unique(kept, return_counts=True)
    shared = size[size > 1]
    return {
        "clusters": len(shared),
        "duplicates": int(shared.sum()) - len(shared),
        "largest_cluster": int(shared.max(initial=0)),
    }
