"""FineWeb's own quality filter: pages by how their lines end, how short they are, and how often they repeat."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.config import Count, Fraction, NonNegative
from dclm.curate.quantity import Rule, at_least, at_most
from dclm.curate.step import Bools, RuleFilter
from dclm.filters.lines.table import split_lines
from dclm.filters.rules.by_language import LimitsByLanguage, check_column, check_limits, limit
from dclm.filters.rules.length import WORD_FEATURES, WordKind
from dclm.text.buffers import utf8
from dclm.text.counting.segments import strip
from dclm.text.features import counts
from dclm.text.unicode import character_before, class_table, decode

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]

_TERMINAL_PUNCTUATION = (
    "!.?։؞؟؝۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶៕។៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
    "𐩖𐩗𐽕𐽖𐽗𐽘𐽙𐾆𐾇𐾈𐾉𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑥄𑥆𑩂𑩃𑪛𑪜𑱁𑱂𑻷𑻸𑽃𑽄𖩮𖩯𖫵𖬷𖬸𖭄𖺘𛲟𝪈"
)
"""Characters with Unicode's Sentence_Terminal property, which is FineWeb's list."""
_STOPS = np.array(sorted(map(ord, _TERMINAL_PUNCTUATION)), np.int32)

_LIMITS = ("min_punctuated_lines", "max_short_lines", "max_duplicate_chars", "max_newlines_per_word")


@njit(cache=True, nogil=True)
def _line_statistics(
    data: Bytes, starts: Ints, ends: Ints, first: Ints, stops: Ints, short: int, classes: Classes
) -> NDArray[np.int64]:
    """int64[5, rows]: nonblank lines; those of them that end in a stop; short ones; characters of repeated lines; all
    characters."""
    rows = len(first) - 1
    out = np.zeros((5, rows), np.int64)
    for row in range(rows):
        slots = 4
        while slots < 2 * (first[row + 1] - first[row]):
            slots *= 2
        table = np.zeros(slots, np.uint64)
        for line in range(first[row], first[row + 1]):
            start, end = starts[line], ends[line]
            length, value, place = 0, np.uint64(0xCBF29CE484222325), start
            while place < end:
                code, place = decode(data, place, end)
                value = (value ^ np.uint64(code)) * np.uint64(0x100000001B3)
                length += 1
            out[4, row] += length
            left, right = strip(data, start, end, classes)
            if left == right:
                continue
            out[0, row] += 1
            last = character_before(data, start, end)[0]
            at = np.searchsorted(stops, last)
            out[1, row] += at < len(stops) and stops[at] == last
            out[2, row] += length <= short
            slot = np.int64(value & np.uint64(slots - 1))
            while table[slot] != 0 and table[slot] != value:
                slot = (slot + 1) & (slots - 1)
            out[3, row] += length if table[slot] == value else 0
            table[slot] = value
    return out


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinewebQuality(RuleFilter):
    """Keeps pages whose lines end in punctuation, are not short, do not repeat, and are not a list.

    Source: FineWeb (arXiv 2406.17557, section 3.5), `FineWebQualityFilter` of datatrove. Difference: words are those of
    UAX #29 (including punctuation marks, like spaCy's, which datatrove counts).
    """

    name: ClassVar[str] = "fineweb_quality"
    version: ClassVar[int] = 2

    min_punctuated_lines: Fraction = 0.12
    """Minimum fraction of lines that end in a terminal punctuation mark of any script."""
    short_line_length: Count = 30
    """Lines with at most this many characters are short."""
    max_short_lines: Fraction = 0.67
    """Maximum fraction of short lines."""
    max_duplicate_chars: Fraction = 0.01
    """Maximum fraction of characters in lines that occurred earlier on the page."""
    max_newlines_per_word: NonNegative = 0.3
    """Maximum number of newlines per word."""
    words: WordKind = "unicode"
    """Definition of a word: see `page_length`."""
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict)
    """Language → limits for documents in it, such as `th: {min_punctuated_lines: 0}`, because Thai has no full stop."""

    def __post_init__(self) -> None:
        check_limits(self.by_language, _LIMITS)

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the definition of a word
        return (WORD_FEATURES[self.words, False][0],)

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        if self.by_language:
            check_column(batch, self.name)
        limits = {name: limit(batch, self.by_language, name, getattr(self, name)) for name in _LIMITS}
        data, offsets = utf8(batch["text"])
        starts, ends, first = split_lines(data, offsets)
        found = _line_statistics(data, starts, ends, first, _STOPS, self.short_line_length, class_table())
        lines, punctuated, short, repeated, characters = found
        some = np.maximum(lines, 1)
        newlines = np.diff(first) - 1
        yield "empty", lines > 0
        yield at_least("min_punctuated_lines", punctuated / some, limits["min_punctuated_lines"])
        yield at_most("max_short_lines", short / some, limits["max_short_lines"])
        yield at_most("max_duplicate_chars", repeated / np.maximum(characters, 1), limits["max_duplicate_chars"])
        words = counts(batch, *WORD_FEATURES[self.words, False])
        most = limits["max_newlines_per_word"]
        passes = np.asarray(newlines <= most * words, np.bool_)  # by a product, as in the reference
        yield at_most("max_newlines_per_word", newlines / np.maximum(words, 1), most)._replace(passes=passes)
