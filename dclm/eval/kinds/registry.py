"""The registered kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dclm.eval.kinds.generation import Generation
from dclm.eval.kinds.kind import ScoringKind
from dclm.eval.kinds.language_modeling import LanguageModeling
from dclm.eval.kinds.multiple_choice import MultipleChoice
from dclm.eval.kinds.schema import Schema

if TYPE_CHECKING:
    from dclm.eval.task import Kind, Task

KINDS: Mapping[Kind, ScoringKind] = {
    "language_modeling": LanguageModeling(),
    "multiple_choice": MultipleChoice(),
    "schema": Schema(),
    "generation": Generation(),
}


def kind_of(task: Task) -> ScoringKind:
    """The kind of `task`."""
    return KINDS[task.metadata.kind]
