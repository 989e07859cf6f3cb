"""Reads a tokens artifact: memory-mapped rows of `seq_len + 1` tokens in their shuffled order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dclm.core.errors import DataError
from dclm.core.record import Record, require_complete
from dclm.core.storage import is_local
from dclm.core.stores.cache import scratch
from dclm.core.stores.store import copy, join, local_file, size_of, verified_file

Tokens = npt.NDArray[np.int64]


class TokenDataset:
    """The sequences of a tokens artifact, indexed by their position in the global order.

    A row contains `seq_len + 1` tokens: inputs are `row[:-1]`, targets `row[1:]`. Files are mapped when first read;
    nothing is held in memory. May be pickled (it is reopened by path).
    """

    def __init__(self, path: Path | str, *, verify: bool = False) -> None:
        """Open the artifact at `path`, a folder or a URL; `verify` also compares every file with the record's sha256.

        Raises: IncompleteError (no record, or parts missing), ConfigError (not a tokens artifact), DataError (a file is
        missing, or its size or sha256 does not match the record).
        """
        self.address = str(path)
        self.record: Record = require_complete(self.address, "tokens")
        self.seq_len = _whole_number(self.record, "seq_len")
        self.vocab_size = _whole_number(self.record, "vocab_size")
        """All ids are below this."""
        self.dtype = np.dtype("<u2" if self.record.config["dtype"] == "uint16" else "<u4")
        self._files = [f for f in self.record.files if f.path.startswith("tokens/")]
        self._check_sizes()
        if verify:
            self.verify()
        sizes = [f.rows or 0 for f in self._files]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._maps: list[npt.NDArray[np.unsignedinteger] | None] = [None] * len(sizes)

    def tokenizer(self) -> Path | None:
        """The tokenizer.json stored with the tokens, next to its settings; None if they were imported without one."""
        if size_of(join(self.address, "tokenizer.json")) is None:
            return None
        if is_local(self.address):
            return Path(self.address) / "tokenizer.json"
        folder = scratch() / "tokenizers" / self.record.fingerprint[:16]
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if size_of(join(self.address, name)) is not None:
                copy(join(self.address, name), str(folder / name))
        return folder / "tokenizer.json"

    @property
    def num_sequences(self) -> int:
        """Number of rows."""
        return int(self._starts[-1])

    @property
    def shard_rows(self) -> list[int]:
        """Number of rows of each file, in order."""
        return [file.rows or 0 for file in self._files]

    def __len__(self) -> int:
        return self.num_sequences

    def __getitem__(self, index: int) -> Tokens:
        """Row `index` (`seq_len + 1` int64 ids). Raises: IndexError."""
        row: Tokens = self.rows([index])[0]
        return row

    def rows(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Tokens:
        """The rows at `indices`, in that order: int64 `[len(indices), seq_len + 1]`.

        Raises: IndexError for an index outside [0, num_sequences); DataError for an id outside the vocabulary.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.num_sequences):
            raise IndexError(f"rows {wanted.min()}…{wanted.max()} of {self.num_sequences}")
        shards = np.searchsorted(self._starts, wanted, side="right") - 1
        out = np.empty((len(wanted), self.seq_len + 1), dtype=np.int64)
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._open(int(shard))[wanted[here] - self._starts[shard]]
        if out.size and out.max() >= self.vocab_size:
            what = f"found token {out.max()}, allowed: below {self.vocab_size}"
            raise DataError(self.address, what, "the file is corrupt: open with verify=True to find out which")
        return out

    def __reduce__(self) -> tuple[type[TokenDataset], tuple[str]]:
        return TokenDataset, (self.address,)

    def _open(self, shard: int) -> npt.NDArray[np.unsignedinteger]:
        mapped = self._maps[shard]
        if mapped is None:
            shape = (self._files[shard].rows or 0, self.seq_len + 1)
            mapped = np.memmap(
                local_file(join(self.address, self._files[shard].path)), dtype=self.dtype, mode="r", shape=shape
            )
            self._maps[shard] = mapped
        return mapped

    def verify(self, part: int = 0, parts: int = 1) -> None:
        """Compare the sha256 of every file with the record; each of `parts` processes checks its own share.

        Raises: DataError naming the first file that has changed.
        """
        for file in self.record.files[part::parts]:
            verified_file(join(self.address, file.path), file.sha256)

    def _check_sizes(self) -> None:
        row_bytes = (self.seq_len + 1) * self.dtype.itemsize
        for file in self._files:
            path = join(self.address, file.path)
            expected = (file.rows or 0) * row_bytes
            found = size_of(path)
            if found != expected:
                what = "no such file" if found is None else f"found {found:,} bytes, allowed: {expected:,}"
                raise DataError(path, what, "tokenize again, or restore the file from an intact copy")


def _whole_number(record: Record, key: str) -> int:
    value = record.config[key]
    assert isinstance(value, int)
    return value
