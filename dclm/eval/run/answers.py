"""Whether generated text answers a question: the reference's cutting, normalization and matching."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))


def cut_output(output: str, stop: Sequence[str], cot_delimiter: str) -> str:
    """The answer in `output`: up to the first stop, after the chain of thought.

    Source: llm-foundry `InContextLearningGenerationExactMatchAccuracy`. Stops are regular expressions, as there.
    """
    if stop:
        output = re.split("|".join(stop), output)[0]
    if cot_delimiter:
        output = output.split(cot_delimiter)[-1]
    return output.strip()


def normalise(answer: str) -> str:
    """Lower case, no punctuation, no articles, single spaces.

    Source: the official evaluation of TriviaQA.
    """
    text = answer.replace("_", " ").lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", text).split())


def is_right(cleaned: str, labels: Iterable[str]) -> bool:
    """Whether the normalized output begins with any normalized label.

    As in the reference, "180" answers "18", and any output answers a label that normalizes to nothing.
    """
    return any(cleaned.startswith(normalise(label)) for label in labels)
