"""Interpolated modified Kneser-Ney smoothing of n-gram counts, in memory: for models of some millions of tokens.

An n-gram is identified by its index among the n-grams of its order, which are sorted by the index of their first n − 1
words and by their last word. All other data are columns over these indices.

Source: Chen and Goodman 1998; Heafield et al. 2013, whose `lmplz` this follows: `<s>` is never predicted, `<unk>` takes
its share of the uniform distribution below the unigrams, and n-grams that begin with `<s>` keep their own counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dclm.core.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
_UNKNOWN, _BEGIN, _END = range(3)
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts used if the counts of counts give none, as in `lmplz --discount_fallback`."""


class Order(NamedTuple):
    """All n-grams of one order, sorted by `prefix` and `word`."""

    prefix: Ints
    """Index of the first n − 1 words among the n-grams of order n − 1; 0 for unigrams."""
    word: Ints
    """The last word."""
    suffix: Ints
    """Index of the last n − 1 words among the n-grams of order n − 1; 0 for unigrams."""
    probability: Floats
    """Probability of the last word given the others; 0 for `<s>`."""
    backoff: Floats
    """Probability left to words not seen after this n-gram."""
    discounts: tuple[float, float, float]
    """Subtracted from counts of 1, 2 and more."""


class NgramModel(NamedTuple):
    """A model."""

    words: list[str]
    """The vocabulary; the first three are `<unk>`, `<s>` and `</s>`."""
    orders: list[Order]
    """Unigrams first."""


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NgramModel:
    """The model of `order` from sentences of words. `<s>`, `</s>` and `<unk>` among the words are left out.

    Raises: DataError if the sentences contain no word.
    """
    words, tokens, place = _encode(sentences)
    if len(words) == 3:
        raise DataError("n-gram model", "found no word to train on", "give more text")
    grams, raw = _count(tokens, place, len(words), order)
    orders: list[Order] = []
    below = np.full(1, 1 / (len(words) - 1))  # uniform over all words but <s>
    for n, (prefix, word, suffix) in enumerate(grams, 1):
        count = raw[n - 1].astype(np.float64)
        if n < order:
            begins = _begins(grams, n)
            next_suffix = grams[n][2]
            count = np.where(begins, count, np.bincount(next_suffix, minlength=len(word)))
        if n == 1:
            count[_BEGIN] = 0
        discounts = _discounts(count)
        probability, backoff = _interpolate(count, prefix, discounts, below[suffix], len(below))
        if n == 1:
            probability[_BEGIN] = 0
        else:
            orders[-1] = orders[-1]._replace(backoff=backoff)
        orders.append(Order(prefix, word, suffix, probability, np.ones(len(word)), discounts))
        below = probability
    return NgramModel(words, orders)


def _encode(sentences: Iterable[Sequence[str]]) -> tuple[list[str], Ints, Ints]:
    """The vocabulary in order of appearance; all tokens, including sentence marks; their positions in sentences."""
    known = {UNKNOWN: _UNKNOWN, BEGIN: _BEGIN, END: _END}
    marks = frozenset(known)
    tokens: list[int] = []
    lengths: list[int] = []
    for sentence in sentences:
        start = len(tokens)
        tokens.append(_BEGIN)
        tokens.extend(known.setdefault(word, len(known)) for word in sentence if word not in marks)
        tokens.append(_END)
        lengths.append(len(tokens) - start)
    sizes = np.array(lengths, np.int64)
    place = np.arange(len(tokens)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return list(known), np.array(tokens, np.int64), place


def _count(tokens: Ints, place: Ints, num_words: int, order: int) -> tuple[list[tuple[Ints, Ints, Ints]], list[Ints]]:
    """Prefix, word and suffix of all n-grams of each order, and their counts. Every word of the vocabulary is a
    unigram, including `<unk>`.
    """
    here = tokens.copy()  # index of the n-gram that ends at each token
    everything = np.arange(num_words)
    grams = [(np.zeros(num_words, np.int64), everything, np.zeros(num_words, np.int64))]
    counts: list[Ints] = [np.bincount(tokens, minlength=num_words)]
    for n in range(2, order + 1):
        inside = np.flatnonzero(place >= n - 1)
        key = here[inside - 1] * num_words + tokens[inside]
        found, first, inverse, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        grams.append((found // num_words, found % num_words, here[inside[first]]))
        counts.append(count)
        here = np.zeros_like(tokens)
        here[inside] = inverse
    return grams, counts


def _begins(grams: list[tuple[Ints, Ints, Ints]], n: int) -> npt.NDArray[np.bool_]:
    """Which n-grams of order n begin with `<s>`."""
    first = grams[0][1]
    for prefix, _, _ in grams[1:n]:
        first = first[prefix]
    begins: npt.NDArray[np.bool_] = first == _BEGIN
    return begins


def _discounts(count: Floats) -> tuple[float, float, float]:
    """Discounts for counts of 1, 2 and more, from the number of n-grams with a count of 1, 2, 3 and 4."""
    t1, t2, t3, t4 = (int(np.count_nonzero(count == k)) for k in (1, 2, 3, 4))
    if not (t1 and t2 and t3):
        return FALLBACK
    y = t1 / (t1 + 2 * t2)
    found = (1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
    return found if all(0 <= d <= k for k, d in enumerate(found, 1)) else FALLBACK


def _interpolate(
    count: Floats, prefix: Ints, discounts: tuple[float, float, float], below: Floats, num_prefixes: int
) -> tuple[Floats, Floats]:
    """Probability of each n-gram's last word, and the share that each prefix leaves to the order below.

    below: for each n-gram, the probability of its last word with one word less of context.
    """
    taken = np.array([0.0, *discounts])[np.minimum(count, 3).astype(np.int64)]
    total = np.bincount(prefix, count, num_prefixes)
    left = np.bincount(prefix, taken, num_prefixes)
    backoff = np.divide(left, total, out=np.ones(num_prefixes), where=total > 0)
    share = np.divide(count - taken, total[prefix], out=np.zeros(len(count)), where=total[prefix] > 0)
    return share + backoff[prefix] * below, backoff


def write_arpa(model: NgramModel, path: Path) -> None:
    """The model as an ARPA file: log10 of probabilities and backoffs, with seven significant digits."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        for n, order in enumerate(model.orders, 1):
            file.write(f"ngram {n}={len(order.word)}\n")
        names = [""]
        for n, order in enumerate(model.orders, 1):
            names = [
                f"{names[prefix]} {model.words[word]}" if n > 1 else model.words[word]
                for prefix, word in zip(order.prefix.tolist(), order.word.tolist(), strict=True)
            ]
            with np.errstate(divide="ignore"):
                log_probability, log_backoff = np.log10(order.probability), np.log10(order.backoff)
            file.write(f"\n\\{n}-grams:\n")
            last = n == len(model.orders)
            rows = zip(names, log_probability.tolist(), log_backoff.tolist(), strict=True)
            for name, probability, backoff in rows:
                # <s> has no probability; 0 is what lmplz writes. A backoff of 0 would be minus infinity.
                shown = "0" if name == BEGIN else f"{probability:.7g}"
                rest = "" if last else f"\t{max(backoff, -99.0):.7g}"
                file.write(f"{shown}\t{name}{rest}\n")
        file.write("\n\\end\\\n")
