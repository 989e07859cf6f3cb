"""The step that asks a language model whether a document is good training data."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pyarrow as pa

from dclm.core.arrow import to_list
from dclm.core.config import Positive
from dclm.curate.step import Context, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.language_model.model_step import ModelStep
from dclm.select.language_model.reference import model_path
from dclm.select.language_model.score import rounded

PROMPT = """###
{text}
###

Does the previous paragraph demarcated within ### and ### contain informative signal for pre-training a \
large-language model? An informative datapoint should be well-formatted, contain some usable knowledge of the world, \
and strictly NOT have any harmful, racist, sexist, etc. content.

OPTIONS:
- yes
- no
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskLanguageModel(ModelStep):
    """Adds the probability that a language model answers yes, as a float64 column.

    The document is inserted into a prompt, in the model's chat template if it has one; the score is the total
    probability that the next token is one of `answers`. With `against`, it is divided by the total probability of
    `answers` and `against`, so that scores are comparable even if a model rarely gives any of these tokens. Special
    tokens in a document are read as spaces. Scores have six significant digits; up to rounding, a score does not depend
    on the other documents of a batch.

    Source: Ask-LLM (arXiv 2402.09668), whose prompt is the default; DataComp-LM, section 4.3 (Mistral-7B-Instruct-v0.2,
    documents cut to 1,024 tokens, P("Yes") + P("yes")).
    """

    name: ClassVar[str] = "ask_llm"

    prompt: str = PROMPT
    """The prompt, with `{text}` once, where the document is inserted."""
    answers: tuple[str, ...] = ("Yes", "yes")
    """Single tokens of the model that mean yes."""
    against: tuple[str, ...] = ()
    """Single tokens that mean no, such as No and no; empty: use the plain probability of yes."""
    max_tokens: Positive = 1024
    """Maximum number of the document's tokens to read."""
    chat: bool | None = None
    """Whether to use the model's chat template; null: if it has one."""
    column: str = "ask_llm"
    """Column to add."""

    def __post_init__(self) -> None:
        if self.prompt.count("{text}") != 1:
            raise ValueError("`prompt` must contain {text} once")
        if not self.answers:
            raise ValueError("give at least one of `answers`")
        if set(self.answers) & set(self.against):
            raise ValueError("an answer is both in `answers` and in `against`")

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: ConfigError if an answer is not a single token."""
        from dclm.select.language_model.prompts import Prompter

        path = model_path(self.model, context)
        prompter = Prompter(path, self.prompt, chat=self.chat, max_tokens=self.max_tokens)
        yes, no = (sorted(set(prompter.answer_ids(some))) for some in (self.answers, self.against))

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = prompter.probabilities(to_list(batch.column("text")), [*yes, *no])
            score = found[:, : len(yes)].sum(1)
            if no:
                both = found.sum(1)
                score = score / both
            return with_columns(batch, {self.column: pa.array(rounded(score))})

        return annotate
