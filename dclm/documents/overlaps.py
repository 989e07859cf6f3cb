"""How much the sources of one documents artifact have in common, counted from its ledger.

Documents of one cluster of duplicates (those dropped for the same document, and that document) count as found in each
other's sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.arrow import Chunks, filled
from dclm.core.record import Record
from dclm.core.stores.store import join, local_file
from dclm.dedup.columns import I64, documents_of, pack, row_of, shard_of

COUNTS = "overlaps"
"""Key of a record's counts."""
_READ = ["reason", "kept_shard", "kept_row", "characters"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Overlaps between sources. Every matrix is [row's source][column's source]."""

    sources: tuple[str, ...]
    files: tuple[int, ...]
    """Shards of the artifact that belong to each source, which follow each other in this order."""
    documents: tuple[int, ...]
    """Documents of each source that were compared."""
    characters: tuple[int, ...]
    """Code points of their texts."""
    dropped: tuple[tuple[int, ...], ...]
    """Documents of the row's source that were dropped for one of the column's source."""
    found: tuple[tuple[int, ...], ...]
    """Documents of the row's source that have a duplicate in the column's source, whichever of them is kept. On the
    diagonal: that have another copy in their own source."""
    found_characters: tuple[tuple[int, ...], ...]
    """Code points of the documents that `found` counts."""

    def share(self, row: int, column: int) -> float | None:
        """Fraction of the row's documents that the column's source has too; None if there are no documents."""
        return self.found[row][column] / self.documents[row] if self.documents[row] else None

    def share_of_characters(self, row: int, column: int) -> float | None:
        """The same fraction of the row's text, in code points."""
        total = self.characters[row]
        return self.found_characters[row][column] / total if total else None

    def to_json(self) -> dict[str, object]:
        """Plain lists."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def of_source(self, row: int) -> dict[str, object]:
        """What there is to say of one source, by the name of the other."""
        return {
            "documents": self.documents[row],
            "dropped": sum(self.dropped[row]),
            "found_in": {
                name: {"documents": self.found[row][column], "characters": self.found_characters[row][column]}
                for column, name in enumerate(self.sources)
                if column != row
            },
        }


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def read_overlaps(record: Record) -> Overlaps | None:
    """The overlaps in a record; None if the artifact was not made from several sources."""
    found = cast(Mapping[str, Any] | None, record.counts.get(COUNTS))
    if found is None:
        return None
    return Overlaps(**{name: _tuples(value) for name, value in found.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def count_overlaps(artifact: str, ledgers: Sequence[str], owner: Sequence[int], names: Sequence[str]) -> Overlaps:
    """Count them from ledgers.

    ledgers: paths within `artifact`, in order of their shards. owner: index in `names` of each shard's source.
    Memory: 40 bytes per dropped document, and a byte per cluster and source.
    """
    documents, characters = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    gone, kept, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for shard, path in enumerate(ledgers):
        table = _read(artifact, path)
        length = _numbers(table.column("characters"))
        whole = table.column("reason").is_null().to_numpy()
        documents[owner[shard]] += np.count_nonzero(whole)
        characters[owner[shard]] += length[whole].sum()
        rows = np.flatnonzero(table.column("kept_row").is_valid().to_numpy())
        gone.append(pack(np.full(len(rows), shard, np.int64), rows.astype(np.int64)))
        kept.append(documents_of(table.take(rows), "kept_"))
        sizes.append(length[rows])
    members, leaders, lengths = np.concatenate(gone), np.concatenate(kept), np.concatenate(sizes)
    sources = np.array(owner, np.int64)
    dropped = np.zeros((len(names), len(names)), np.int64)
    np.add.at(dropped, (sources[shard_of(members)], sources[shard_of(leaders)]), 1)
    leaders = _last(members, leaders)
    stay = np.unique(leaders)
    members = np.concatenate([members, stay])
    lengths = np.concatenate([lengths, _lengths(artifact, ledgers, stay)])
    cluster = np.searchsorted(stay, np.concatenate([leaders, stay]))
    mine = sources[shard_of(members)]
    found, found_characters = _found(cluster, mine, lengths, len(stay), len(names))
    return Overlaps(
        sources=tuple(names),
        files=tuple(np.bincount(sources, minlength=len(names)).tolist()),
        documents=tuple(documents.tolist()),
        characters=tuple(characters.tolist()),
        dropped=_tuples(dropped.tolist()),
        found=_tuples(found.tolist()),
        found_characters=_tuples(found_characters.tolist()),
    )


def _read(artifact: str, path: str) -> pa.Table:
    return pq.read_table(local_file(join(artifact, path)), columns=_READ, use_threads=False)


def _numbers(column: Chunks) -> I64:
    found: I64 = filled(column, 0).to_numpy()
    return found


def _last(members: I64, leaders: I64) -> I64:
    """The document at the end of each chain: one kept by a step may be dropped by the next."""
    order = np.argsort(members)
    members, leaders = members[order], leaders[order]
    while len(members):
        place = np.minimum(np.searchsorted(members, leaders), len(members) - 1)
        again = members[place] == leaders
        if not again.any():
            break
        leaders = np.where(again, leaders[place], leaders)
    back = np.empty_like(leaders)
    back[order] = leaders
    return back


def _lengths(artifact: str, ledgers: Sequence[str], documents: I64) -> I64:
    """Code points of documents (packed, in order)."""
    shard, found = shard_of(documents), np.zeros(len(documents), np.int64)
    for number in np.unique(shard).tolist():
        mine = shard == number
        length = _numbers(_read(artifact, ledgers[number]).column("characters"))
        found[mine] = length[row_of(documents[mine])]
    return found


def _found(cluster: I64, source: I64, lengths: I64, clusters: int, sources: int) -> tuple[I64, I64]:
    present = np.zeros((clusters, sources), np.bool_)
    several = np.zeros((clusters, sources), np.bool_)
    pairs, count = np.unique(cluster * sources + source, return_counts=True)
    present.reshape(-1)[pairs] = True
    several.reshape(-1)[pairs] = count > 1
    documents, characters = np.zeros((sources, sources), np.int64), np.zeros((sources, sources), np.int64)
    for other in range(sources):
        here: npt.NDArray[np.bool_] = np.where(source == other, several[cluster, other], present[cluster, other])
        np.add.at(documents[:, other], source[here], 1)
        np.add.at(characters[:, other], source[here], lengths[here])
    return documents, characters
