"""Pieces of documents on one core: repeated spans compared with a suffix array (pydivsufsort, if installed), and lines.

CPU seconds of this process on the texts of `bench_dedup`, medians of three runs after one that compiles. The suffix
array covers the bytes of all texts, with the common-prefix lengths of neighbors, which finding repeats requires;
cutting them out, which ours does, is not included.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np

from dclm.curate.global_step import Global
from dclm.dedup.exact import Exact
from dclm.dedup.serial import apply, decide
from dclm.dedup.substring.step import Substring
from dclm.dedup.substring.winnow import choose_anchors
from dclm.text.buffers import utf8
from tests.bench.bench_dedup import Row, Shards, load_texts, make_shards, timed
from tests.bench.rows import report

_KEY_BYTES = 24  # key, shard, row, token


def ours(what: str, step: Global, texts: list[str]) -> Row:
    """Decision and edits over all texts."""
    shards, few = make_shards(texts), make_shards(texts[:2000])

    def run(documents: Shards) -> object:
        return apply(decide(step, documents), documents)

    return timed(what, texts, lambda: run(shards), lambda: run(few))


def suffix_array(texts: list[str]) -> Row | None:
    """pydivsufsort over the bytes of all texts."""
    if importlib.util.find_spec("pydivsufsort") is None:
        return None
    peer = importlib.import_module("pydivsufsort")
    data = np.frombuffer("\0".join(texts).encode(), np.uint8).copy()  # it does not accept read-only arrays

    def run() -> object:
        return peer.kasai(data, peer.divsufsort(data))

    return timed("pydivsufsort: suffixes and shared lengths", texts, run, lambda: None)


def keys_per_byte(texts: list[str]) -> float:
    """Bytes of keys that the first round of `substring` writes per byte of text."""
    batch = make_shards(texts, len(texts))[0][0]
    anchors = choose_anchors(utf8(batch.column("text")), 50)
    return _KEY_BYTES * len(anchors.hashes) / sum(len(t.encode()) for t in texts)


def _speeds(row: Row) -> list[float]:
    return [row.megabytes / seconds for seconds in row.seconds]


def main() -> int:
    """Print the table."""
    shared = Path(os.environ.get("DCLM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    texts = load_texts(shared)
    rows = [
        ours("substring, 50 tokens, first copy stays", Substring(), texts),
        ours("exact, lines", Exact(of="line"), texts),
        ours("exact, lines, stripped and lower-cased", Exact(of="line", normalize="whitespace_and_lowercase"), texts),
    ]
    peer = suffix_array(texts)
    print(f"{len(texts):,} documents, {sum(len(t.encode()) for t in texts) / 1e6:.0f} MB\n")
    beside = {"beside": "suffix array alone", "theirs": _speeds(peer)} if peer else {}
    for number, row in enumerate(rows):
        report(row.what, "MB/s", _speeds(row), **(beside if number == 0 else {}))
    print(f"keys of the first round: {keys_per_byte(texts):.2f} bytes a byte of text")
    return 0


if __name__ == "__main__":
    sys.exit(main())
