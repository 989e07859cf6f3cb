"""The number of rows of each source in each phase of training, and their order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from numba import njit

from dclm.core.errors import ConfigError
from dclm.text import kernel_cache
from dclm.tokens.config import TokenizeConfig
from dclm.tokens.mixture import apportion, check_limits, check_weights, shares

kernel_cache.use()
Numbers = npt.NDArray[np.int64]


def phase_rows(
    config: TokenizeConfig, available: Sequence[int], reads: Sequence[int], names: Sequence[str]
) -> list[tuple[int, ...]]:
    """Rows of each source in each phase; one phase if the configuration names none.

    available: rows of each source in one pass. reads: documents of each source in one pass, repeats included. Raises:
    ConfigError for weights that do not match the sources, or a source that would be read too often.
    """
    total = None if config.num_tokens is None else -(-config.num_tokens // config.seq_len)
    limits = _limits(config, available, names)
    if config.temperature is not None:
        assert total is not None
        sizes = available if config.weights_by == "tokens" else reads
        weights = _by_tokens(config, [size ** (1 / config.temperature) for size in sizes], available, reads)
        return [_capped(weights, limits, total)]
    if not config.phases:
        weights_given = None if config.weights is None else _by_tokens(config, config.weights, available, reads)
        return [shares(available, names, weights=weights_given, total=total, limits=limits)]
    assert total is not None
    lengths = apportion([Fraction(phase.share) for phase in config.phases], total)
    rows = []
    for phase, length in zip(config.phases, lengths, strict=True):
        check_weights(phase.weights, names, at_least_one=True)
        weights = _by_tokens(config, phase.weights, available, reads)
        rows.append(apportion([Fraction(weight) for weight in weights], length))
    check_limits(names, [sum(taken) for taken in zip(*rows, strict=True)], limits, available)
    return rows


def _limits(config: TokenizeConfig, available: Sequence[int], names: Sequence[str]) -> list[int]:
    passes = config.source_repeats
    if passes is not None and (len(passes) != len(names) or min(passes) <= 0 or not all(map(math.isfinite, passes))):
        what = f"found {list(passes)}, allowed: one positive number for each of {list(names)}"
        raise ConfigError("passes over the sources", what)
    each = passes or (config.max_repeats,) * len(names)
    return [math.floor(have * Fraction(most)) for have, most in zip(available, each, strict=True)]


def _by_tokens(
    config: TokenizeConfig, weights: Sequence[float], available: Sequence[int], reads: Sequence[int]
) -> list[float]:
    """Weights of documents as weights of tokens: times the mean length of the source's documents."""
    if config.weights_by == "tokens" or len(weights) != len(available):
        return list(weights)
    return [w * have / max(1, count) for w, have, count in zip(weights, available, reads, strict=True)]


def _capped(weights: Sequence[float], limits: Sequence[int], total: int) -> tuple[int, ...]:
    """Shares in proportion to the weights; any excess over a source's limit is divided among the others."""
    if total > sum(limits):
        what = f"{total:,} sequences are needed, but the sources provide only {sum(limits):,} within their passes"
        raise ConfigError("mixture", what, "raise --max-repeats, lower --num-tokens, or add data")
    taken = [0] * len(weights)
    open_ = set(range(len(weights)))
    while True:
        rest = total - sum(taken[i] for i in range(len(weights)) if i not in open_)
        order = sorted(open_)
        found = apportion([Fraction(weights[i]) for i in order], rest)
        over = [i for i, wanted in zip(order, found, strict=True) if wanted > limits[i]]
        for i, wanted in zip(order, found, strict=True):
            taken[i] = limits[i] if i in over else wanted
        if not over:
            return tuple(taken)
        open_ -= set(over)


class Turns:
    """The source of each row of a phase: after any number of rows, every source has had its share ± one row.

    Source: Tijdeman (1980), The chairman assignment problem; with S sources, the difference is below 1 − 1/(2S − 2).
    """

    def __init__(self, rows: Sequence[int], before: Sequence[int] | None = None) -> None:
        """rows: number of rows of each source in the whole phase. before: number already read of each source."""
        self._rows = np.array(rows, dtype=np.int64)
        self._past = np.zeros_like(self._rows) if before is None else np.array(before, dtype=np.int64)

    @property
    def past(self) -> tuple[int, ...]:
        """Number of rows read of each source so far."""
        return tuple(map(int, self._past))

    def take(self, count: int) -> npt.NDArray[np.int32]:
        """The source of each of the next `count` rows."""
        total = int(self._rows.sum())
        done = int(self._past.sum())
        # Python's integers: the products exceed 64 bits from three thousand million rows on
        debts = [int(n) * done - int(x) * total for n, x in zip(self._rows, self._past, strict=True)]
        out = _turns(self._rows, np.array(debts, dtype=np.int64), total, count)
        self._past += np.bincount(out, minlength=len(self._rows))
        return out


@njit(cache=True, nogil=True)
def _turns(rows: Numbers, debts: Numbers, total: int, count: int) -> npt.NDArray[np.int32]:
    """debts: how far each source is behind its share, in 1/total of a row; modified in place."""
    out = np.empty(count, dtype=np.int32)
    sources = len(rows)
    if sources == 1:
        out[:] = 0
        return out
    least = total / (2 * sources - 2)
    for k in range(count):
        best = -1
        soonest = np.inf
        for i in range(sources):
            debts[i] += rows[i]
            if rows[i] and debts[i] >= least:
                due = (total - least - debts[i]) / rows[i]
                if due < soonest:
                    best, soonest = i, due
        debts[best] -= total
        out[k] = best
    return out


def stretches(total: int, size: int, phases: Sequence[Sequence[int]]) -> Iterator[list[tuple[int, int, int]]]:
    """For each piece of `size` of all rows: `(phase, first row in it, number of rows)` of the phases it reads."""
    ends = np.cumsum([sum(phase) for phase in phases])
    for first in range(0, total, size):
        last = min(first + size, total)
        piece = []
        for index, end in enumerate(ends):
            begin = int(end) - sum(phases[index])
            low, high = max(first, begin), min(last, int(end))
            if low < high:
                piece.append((index, low - begin, high - low))
        yield piece
