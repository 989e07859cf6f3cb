"""A task of the evaluation suite, read from its YAML file: its data, prompt and kind of score.

The files follow lm-eval's task format. Fields that lm-eval does not have are under `metadata`, which it passes through;
the template named in `include` makes lm-eval run the task correctly (see `dclm.eval.lm_eval.stock`).
"""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Literal

from dclm.core.config import Count, Fraction, Positive, build, load_yaml, suggest
from dclm.core.errors import ConfigError
from dclm.core.names import is_name

Kind = Literal["language_modeling", "multiple_choice", "schema", "generation"]
SUITE_DIR = Path(__file__).resolve().parents[2] / "eval_suite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskData:
    """The rows of a task."""

    file: str
    """Path below the evaluation data: the asset is `eval/<file>`."""
    rows: Positive
    """Number of rows; any other number is refused."""
    sha256: str | None
    """sha256 of the rows in canonical JSON (see `rows_sha256`). Null only if the rows must not be published."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """The accuracy of guessing in each version of the metadata. v2 is current."""

    v1: Fraction
    v2: Fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Details:
    """The properties of a task beyond lm-eval's own fields."""

    version: Positive
    """Raised whenever the task's scores would change."""
    about: str
    """A one-sentence description."""
    kind: Kind
    """Kind of scoring: see `dclm.eval.scoring`."""
    group: str
    """The group of abilities whose mean includes it, such as `world knowledge`."""
    data: TaskData
    continuation_delimiter: str
    """Text between question and answer."""
    baseline: Baseline
    source: str
    """Author of its data."""
    licence: str
    prelimiter: str = ""
    """Text before each question."""
    example_delimiter: str = "\n"
    """Text between examples."""
    cot_delimiter: str = ""
    """Generation: text between the chain of thought and the answer."""
    stop: tuple[str, ...] = ()
    """Generation: regular expressions; the output is cut at the first match of any of them."""
    categories: bool = False
    """Rows have a `category`: examples are drawn within it, and the score is the unweighted mean over categories."""
    passage: str | None = None
    """Regular expression with one group: rows in which it captures the same text share it, and are one cluster in the
    standard error. Rows of one category with the same question always are."""
    cluster_column: str | None = None
    """Column that names a row's cluster, such as the template from which it was made."""

    def __post_init__(self) -> None:
        if self.passage is not None:
            _check_passage(self.passage)
            if self.cluster_column is not None:
                raise ValueError("give `passage` or `cluster_column`, not both")
        if self.kind != "generation" and (self.cot_delimiter or self.stop):
            raise ValueError("`cot_delimiter` and `stop` are for kind generation only")


def _check_passage(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"`passage` is not a regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"`passage`: found {groups} groups, allowed: 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One file of `eval_suite/`."""

    task: str
    """The label, equal to the file's name."""
    include: str
    """The template through which lm-eval runs the task."""
    num_fewshot: Count
    metadata: Details


@cache
def load_task(label: str, folder: Path = SUITE_DIR) -> Task:
    """The task with this label.

    Raises: ConfigError if it does not exist (naming the nearest), or if its file is wrong.
    """
    path = folder / f"{label}.yaml"
    if not is_name(label) or not path.is_file():
        labels = task_labels(folder)
        near = suggest(label, labels)
        raise ConfigError(f"task {label}", f"no such task, allowed: the {len(labels)} files of {folder.name}/", near)
    source = load_yaml(path)
    task = build(Task, source)
    if task.task != label:
        raise ConfigError(source.where(("task",)), f"found {task.task!r}, allowed: the file's name, {label!r}")
    return task


def task_labels(folder: Path = SUITE_DIR) -> list[str]:
    """The labels of all tasks, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_tasks(folder: Path = SUITE_DIR) -> list[Task]:
    """All tasks, by label."""
    return [load_task(label, folder) for label in task_labels(folder)]
