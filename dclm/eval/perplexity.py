"""Perplexity on named texts, in bits per byte: a measure that distinguishes small models long before tasks do.

The cost of a text is the sum of -log2 p over its tokens, each predicted once; bits per byte are the total cost of a
set's documents divided by their size in UTF-8 bytes, as in the set (so bytes that a tokenizer normalizes away count). A
document is cut into windows that do not overlap. The first begins after an end-of-text token, each other one after the
last token of the previous one; the last window is filled up with as much context as fits.

Source: lm-eval's `loglikelihood_rolling` and `bits_per_byte`; the windows are the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import schema_of
from dclm.core.stages.journal import Outcome
from dclm.eval.run.interface import Candidate, name_items
from dclm.eval.run.unit import Setup, UnitCounts, publish_part, scored_with
from dclm.eval.scores_file import TextEntry
from dclm.eval.statistics.stats import Score
from dclm.eval.texts import TextSet, read_documents
from dclm.eval.tokenizer import Ids

TEXTS_FILE = "texts.parquet"
"""Name of the file in an artifact of scores."""
UNIT_BYTES = 1 << 17
"""Documents are scored together until they have this many tokens."""

DOCUMENTS = schema_of(
    pa.field("text", pa.string(), nullable=False),  # name of the set
    pa.field("document", pa.int32(), nullable=False),  # number in the set
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("tokens", pa.int64(), nullable=False),
    pa.field("bits", pa.float64(), nullable=False),  # sum of -log2 p
)
"""One row per document scored."""


class TextWindow(NamedTuple):
    """Some tokens of a document, and the preceding ones that the model sees."""

    context: Ids
    predicted: Ids


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextUnit:
    """The task of a worker: some consecutive documents of a set."""

    setup: Setup
    texts: TextSet
    first: int
    last: int
    """The first document after the unit."""
    fingerprint: str
    directory: str
    """Address below which its `PART` is published."""

    @property
    def name(self) -> str:
        """Label for a progress bar."""
        return self.texts.text


def windows(ids: Ids, start: int, size: int) -> Iterator[TextWindow]:
    """Cut a document for a model that reads `size` tokens; `start` is the token before it."""
    whole = (start, *ids)
    for begin in range(0, len(ids), size):
        end = min(begin + size, len(ids))
        first = max(0, end - size) if begin else 0
        yield TextWindow(context=whole[first : begin + 1], predicted=ids[begin:end])


def spans(documents: Sequence[str]) -> list[tuple[int, int]]:
    """The documents of each unit: the same whatever the number of workers."""
    ends, size = [0], 0
    for number, text in enumerate(documents, 1):
        size += len(text.encode())
        if size >= UNIT_BYTES or number == len(documents):
            ends.append(number)
            size = 0
    return list(pairwise(ends))


@lru_cache(maxsize=2)
def _documents(texts: TextSet) -> list[str]:
    return read_documents(texts)


def score_texts(unit: TextUnit, candidate: Candidate | None = None) -> Outcome:
    """Score the unit's documents and publish them.

    If `candidate` is not given, its model is loaded. Raises: DataError naming text and document if one cannot be
    scored.
    """
    with scored_with(unit.setup, candidate) as model:
        return _score_texts(unit, model)


def _score_texts(unit: TextUnit, model: Candidate) -> Outcome:
    documents = _documents(unit.texts)[unit.first : unit.last]
    ids = model.tokenizer.encode_all(documents)
    items = [list(windows(i, model.tokenizer.end_id, unit.setup.max_seq_len)) for i in ids]
    scorer = model.scorer(unit.setup.settings.batch_tokens)
    with name_items([f"text {unit.texts.text}, document {number}" for number in range(unit.first, unit.last)]):
        scores = scorer.score(items)
    nats = [math.fsum(float(answer.logprobs.sum(dtype=np.float64)) for answer in answers) for answers in scores]
    table = pa.table(
        {
            "text": [unit.texts.text] * len(documents),
            "document": list(range(unit.first, unit.last)),
            "bytes": [len(text.encode()) for text in documents],
            "tokens": [len(i) for i in ids],
            "bits": [-n / math.log(2.0) for n in nats],
        },
        schema=DOCUMENTS,
    )
    counts = UnitCounts(items=len(documents), forwarded=scorer.counts.forwarded, padding=scorer.counts.padding)
    return publish_part(unit.directory, table, counts)


def bits_per_byte(table: pa.Table) -> Score:
    """Bits per byte of the documents in `table`; documents are the sample (ratio estimator)."""
    bits, size = table["bits"].to_numpy(), table["bytes"].to_numpy()
    value = math.fsum(bits.tolist()) / float(size.sum())
    return Score(value=value, influence=(bits - value * size) / float(size.sum()))


def perplexity_json(table: pa.Table, texts: Sequence[TextSet]) -> dict[str, Mapping[str, object]]:
    """The entry of each set in scores.json."""
    found: dict[str, Mapping[str, object]] = {}
    for each in texts:
        mine = table.filter(pc.equal(table["text"], pa.scalar(each.text)))
        score = bits_per_byte(mine)
        tokens = int(pc.sum(mine["tokens"]).as_py())
        size = int(pc.sum(mine["bytes"]).as_py())
        entry = TextEntry(
            bits_per_byte=score.value,
            standard_error=score.standard_error,
            bits_per_token=score.value * size / tokens,
            documents=len(mine),
            bytes=size,
            tokens=tokens,
            hash=each.hash,
        )
        found[each.text] = dataclasses.asdict(entry)
    return found
