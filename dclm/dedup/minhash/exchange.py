"""Exchange of signatures and indexes with datasketch, which uses the same permutations and gets the same numbers.

datasketch does not record how texts were cut into shingles. For its signatures to match those of `minhash`, feed it
with `dclm.dedup.minhash.shingles.shingle_hash` (see there).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dclm.core.errors import ConfigError
from dclm.dedup.columns import U32, U64
from dclm.dedup.minhash.alphabet import alphabet
from dclm.dedup.minhash.lsh import band_keys
from dclm.dedup.minhash.shingles import UNITS
from dclm.dedup.minhash.signatures import Signatures, permutations, signatures
from dclm.text.buffers import utf8

if TYPE_CHECKING:
    from datasketch import LeanMinHash, MinHashLSH

    from dclm.dedup.minhash.step import MinHash


def scheme_of(step: MinHash) -> str:
    """datasketch's name for the step's permutations."""
    return f"affine{step.bits}"


def to_lean(step: MinHash, texts: Sequence[str]) -> list[LeanMinHash]:
    """The signature of each text as `minhash` computes it. A text without words has the signature of an empty set."""
    from datasketch import LeanMinHash

    draw = permutations(step.bands * step.rows, step.seed, step.bits)
    column = utf8(pa.array(texts, pa.string()))
    found = signatures(column, alphabet(step.normalize), UNITS[step.unit], step.ngram, draw)
    return [LeanMinHash(seed=step.seed, hashvalues=values, scheme=scheme_of(step)) for values in found.values]


def to_lsh(step: MinHash, ids: Iterable[str], texts: Sequence[str]) -> MinHashLSH:
    """An in-memory datasketch index with the step's bands and rows. Texts without words are left out."""
    from datasketch import MinHashLSH

    lsh = MinHashLSH(num_perm=step.bands * step.rows, params=(step.bands, step.rows))
    for name, lean in zip(ids, to_lean(step, texts), strict=True):
        if not _is_empty(lean.hashvalues):
            lsh.insert(name, lean)
    return lsh


def values_of_lean(step: MinHash, signed: Iterable[LeanMinHash]) -> U64:
    """The signatures of datasketch as an array of shape (documents, permutations), for
    `dclm.curate.indexes.signatures.index_of_signatures`. Those of empty sets are left out.

    Raises: ConfigError if a signature has a different seed, scheme or number of permutations.
    """
    rows = _rows_of_lean(step, signed)
    return np.stack(rows).astype(np.uint64) if rows else np.zeros((0, step.bands * step.rows), np.uint64)


def lean_of_values(step: MinHash, values: U64) -> list[LeanMinHash]:
    """datasketch's signatures from those that an index keeps (`dclm.curate.indexes.signatures.stored_signatures`)."""
    from datasketch import LeanMinHash

    kind = np.uint64 if step.bits == 64 else np.uint32
    return [LeanMinHash(seed=step.seed, hashvalues=row, scheme=scheme_of(step)) for row in values.astype(kind)]


def lsh_of_values(step: MinHash, batches: Iterable[U64]) -> MinHashLSH:
    """An in-memory datasketch index of such signatures, whose names are 0, 1, …, with the step's bands and rows."""
    from datasketch import MinHashLSH

    lsh = MinHashLSH(num_perm=step.bands * step.rows, params=(step.bands, step.rows))
    leans = (lean for values in batches for lean in lean_of_values(step, values))
    for number, lean in enumerate(leans):
        lsh.insert(number, lean)
    return lsh


def keys_of_lean(step: MinHash, signed: Iterable[LeanMinHash]) -> U64:
    """The band keys of signatures made by datasketch, for an index (see `dclm.curate.indexes.index.index_of_keys`).

    Raises: ConfigError if a signature has a different seed, scheme or number of permutations.
    """
    return _keys(step, _rows_of_lean(step, signed))


def _rows_of_lean(step: MinHash, signed: Iterable[LeanMinHash]) -> list[np.ndarray]:
    wanted = (step.seed, scheme_of(step), step.bands * step.rows)
    rows = []
    for lean in signed:
        found = (lean.seed, lean.scheme, len(lean.hashvalues))
        if found != wanted:
            what = "found seed {}, scheme {}, {} permutations, allowed: seed {}, scheme {}, {}".format(*found, *wanted)
            raise ConfigError("LeanMinHash", what, "use the settings that the signatures were made with")
        if not _is_empty(lean.hashvalues):
            rows.append(lean.hashvalues)
    return rows


def keys_of_lsh(step: MinHash, lsh: MinHashLSH) -> U64:
    """The band keys of every entry of a datasketch MinHashLSH. Its seed is not recorded and must equal the step's.
    Raises: ConfigError if bands, rows or scheme differ, or if its tables hold hashes of hashes.
    """
    found, wanted = (lsh.b, lsh.r), (step.bands, step.rows)
    scheme = getattr(lsh, "_minhash_scheme", None)
    if found != wanted or scheme not in (None, scheme_of(step)):
        allowed = f"{step.bands} of {step.rows} ({scheme_of(step)})"
        what = f"found {lsh.b} bands of {lsh.r} ({scheme}), allowed: {allowed}"
        raise ConfigError("MinHashLSH", what, "use the index's bands and rows in the step")
    if lsh.hashfunc is not None:
        raise ConfigError(
            "MinHashLSH", "was made with a `hashfunc`, which cannot be reversed", "build it without `hashfunc`"
        )
    kind = np.dtype(np.uint64 if step.bits == 64 else np.uint32)
    keys = [np.zeros(0, np.uint64)]
    for band, table in enumerate(lsh.hashtables):
        stored = sorted(table.keys())
        if not stored:
            continue
        values = np.zeros((len(stored), step.bands * step.rows), kind)
        part = np.frombuffer(b"".join(stored), kind).byteswap().reshape(len(stored), step.rows)
        values[:, band * step.rows : (band + 1) * step.rows] = part
        keys.append(_keys(step, list(values))[band :: step.bands])
    return np.unique(np.concatenate(keys))


def _keys(step: MinHash, rows: Sequence[np.ndarray]) -> U64:
    if not rows:
        return np.zeros(0, np.uint64)
    stacked = np.stack(rows)
    values: U32 | U64 = stacked.astype(np.uint64) if step.bits == 64 else stacked.astype(np.uint32)
    found = Signatures(values, np.ones(len(rows), np.int64), np.zeros(len(rows), np.uint64))
    return band_keys(found, step.bands, step.rows)[0]


def _is_empty(values: np.ndarray) -> bool:
    return bool((values == np.iinfo(values.dtype).max).all())
