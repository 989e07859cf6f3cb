"""MinHash's decision as tables that no process holds as a whole, for any number of candidates.

    stars + reduced links  —by document→   document, root, what the keys carry
                           —by root→       document, best: the copy that is kept, or that is verified for it
    + verified drops       —by best→       document, kept, similarity
                           —by kept→       the same, cluster after cluster

Each arrow is a `Regroup` on all workers. The decision then reads the last tables one at a time, in the order of the
kept documents where clusters are numbered. The results are those of `dclm.dedup.minhash.decision`, byte for byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.curate.global_step import Decision, IterativeReduce, Regroup, Round, Tables, TableSource
from dclm.dedup.columns import drops_by, drops_table, ints, no_drops, row_of, shard_of
from dclm.dedup.groups.clusters import ROWS, Members, Parts, edges_table, members_table
from dclm.dedup.groups.stars import edges_of, large_star, small_star
from dclm.dedup.index.indexed import IN_INDEX
from dclm.dedup.minhash.leaders import Measure
from dclm.dedup.minhash.rows import (
    by_key,
    choose_rows,
    follow_rows,
    is_gone,
    join_rows,
    keyed,
    of_best,
    of_links,
    of_stars,
    of_verified,
    run_starts,
)
from dclm.dedup.minhash.verify import VerifiedDrops, Verify


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouping:
    """The parts of a MinHash step that its decision depends on."""

    ordered: bool
    """Whether the keys carry an order, by which the copy to keep is chosen."""
    against: bool
    """Whether the keys state which documents an index contains."""
    verify: Verify | None
    measure: Measure

    @property
    def carried(self) -> tuple[str, ...]:
        """The columns of the keys that matter."""
        flags = {"whole": self.verify is not None, "order": self.ordered, "known": self.against}
        return tuple(name for name, used in flags.items() if used)

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        """The decision on documents linked by the `reduced` tables, with all work on tables by document or cluster."""

        def join(stars: Tables) -> Decision:
            sources = (
                TableSource(reduced, partial(of_links, names=self.carried)),
                TableSource(stars, partial(of_stars, names=self.carried)),
            )
            reduce = partial(join_rows, names=self.carried)
            return _then(Regroup(label="minhash: join", sources=sources, reduce=reduce, finish=choose))

        def choose(joined: Tables) -> Decision:
            source = TableSource(joined, partial(keyed, name="root"))
            reduce = partial(choose_rows, ordered=self.ordered, against=self.against, verified=self.verify is not None)
            return _then(Regroup(label="minhash: choose", sources=(source,), reduce=reduce, finish=self._of_chosen))

        steps = (large_star, small_star)
        return _then(IterativeReduce(source=reduced, start=edges_of, steps=steps, finish=join))

    def _of_chosen(self, chosen: Tables) -> Decision:
        if self.verify is None:
            return self._final(chosen, chosen)

        def follow(verified: Decision) -> Decision:
            drops = verified.drop_tables
            assert isinstance(drops, VerifiedDrops)
            sources = (TableSource(drops.tables, of_verified), TableSource(chosen, of_best))
            finish = partial(gather, verified)
            return _then(Regroup(label="minhash: follow", sources=sources, reduce=follow_rows, finish=finish))

        def gather(verified: Decision, followed: Tables) -> Decision:
            source = TableSource(followed, partial(keyed, name="kept"))
            finish = partial(self._of_kept, chosen, verified)
            return _then(Regroup(label="minhash: gather", sources=(source,), reduce=by_key, finish=finish))

        return _then(Round(step=self.verify, rows=_RowsToVerify(chosen), finish=follow))

    def _of_kept(self, chosen: Tables, verified: Decision, kept: Tables) -> Decision:
        decision = self._final(chosen, kept)
        return dataclasses.replace(decision, tables={**decision.tables, **verified.tables})

    def _final(self, chosen: Tables, kept: Tables) -> Decision:
        """kept: tables of `chosen` or `by_key`."""
        info = {"candidates": 0, "clusters": 0, "duplicates": 0, "largest_cluster": 0}
        in_index = 0
        for table in kept:
            _count(table, info)
        for table in chosen if self.against else ():
            in_index += int(is_gone(table).sum())
        if self.against:
            info["in_index"] = in_index

        members = Parts(lambda: _members(kept, self.verify is not None))
        tables = {
            "clusters": Parts(lambda: map(members_table, members)),
            "edges": Parts(lambda: (edges_table(part, self.measure) for part in members)),
        }
        return Decision(drops=no_drops(), drop_tables=_Drops(self, chosen, kept), info=info, tables=tables)


def _then(work: Round | IterativeReduce | Regroup) -> Decision:
    return Decision(drops=no_drops(), then=work)


class _RowsToVerify:
    """The documents to compare, each with its `_cluster`."""

    def __init__(self, chosen: Tables) -> None:
        self._chosen = chosen

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._chosen:
            mine = table.filter(pc.greater_equal(table.column("cluster"), pa.scalar(0)))
            document = ints(mine, "document")
            yield pa.table(
                {
                    "shard": pa.array(shard_of(document), pa.int32()),
                    "row": pa.array(row_of(document), pa.int64()),
                    "_cluster": pa.array(ints(mine, "cluster").astype(np.uint64)),
                }
            )


def _count(table: pa.Table, info: dict[str, int]) -> None:
    """Add the clusters of a table, which are whole."""
    kept = ints(table, "kept")[~is_gone(table)]
    size = np.diff(np.append(run_starts(kept), len(kept)))
    several = size[size > 1]
    info["candidates"] += len(kept)
    info["clusters"] += len(several)
    info["duplicates"] += int(several.sum()) - len(several)
    info["largest_cluster"] = max(info["largest_cluster"], int(several.max(initial=0)))


class _Drops:
    """The drops of one table after another."""

    def __init__(self, grouping: Grouping, chosen: Tables, kept: Tables) -> None:
        self._verified, self._against = grouping.verify is not None, grouping.against
        self._chosen, self._kept = chosen, kept

    def __iter__(self) -> Iterator[pa.Table]:
        none = drops_by(IN_INDEX, np.zeros(0, np.int64), np.zeros(0))
        for table in self._kept:
            lost = ~is_gone(table) & (ints(table, "kept") != ints(table, "document"))
            mine = _in_order(table.filter(pa.array(lost)))
            drops = drops_table(ints(mine, "document"), ints(mine, "kept"))
            if self._verified:
                drops = drops.append_column("similarity", mine.column("similarity"))
            yield pa.concat_tables([drops, none], promote_options="default") if self._against else drops
        for table in self._chosen if self._against else ():
            mine = _in_order(table.filter(pa.array(is_gone(table))))
            known = mine.column("known").to_numpy()
            gone = drops_by(IN_INDEX, ints(mine, "document"), np.where(known > 0, known, np.nan))
            yield pa.concat_tables([drops.slice(0, 0), gone], promote_options="default")


def _in_order(table: pa.Table) -> pa.Table:
    return table.take(np.argsort(ints(table, "document")))


def _members(kept: Tables, verified: bool) -> Iterator[Members]:
    """All members of clusters of two or more, by cluster and document order: in parts of `ROWS`, at least one."""
    held: list[Members] = []
    rows, number = 0, -1
    for table in kept.by_key():
        mine = by_key(table.filter(pa.array(~is_gone(table))))
        leader = ints(mine, "kept")
        size = np.diff(np.append(run_starts(leader), len(leader)))
        several = np.repeat(size > 1, size)
        numbers = np.repeat(number + np.cumsum(size > 1), size)[several]
        near = mine.column("similarity").to_numpy()[several] if verified else None
        held.append(Members(numbers, ints(mine, "document")[several], leader[several], near))
        rows += len(numbers)
        number = int(numbers[-1]) if len(numbers) else number
        while rows >= ROWS:
            whole = _concatenated(held)
            yield _sliced(whole, slice(0, ROWS))
            held, rows = [_sliced(whole, slice(ROWS, None))], rows - ROWS
    if rows or number < 0:
        yield _concatenated(held)


def _concatenated(parts: list[Members]) -> Members:
    near = [part.similarity for part in parts if part.similarity is not None]
    cluster, document, kept = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Members(cluster, document, kept, np.concatenate(near) if near else None)


def _sliced(part: Members, which: slice) -> Members:
    near = None if part.similarity is None else part.similarity[which]
    return Members(part.cluster[which], part.document[which], part.kept[which], near)
