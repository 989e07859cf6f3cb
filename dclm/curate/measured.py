"""Filters that compare one number of each document with a cut: what they measure is counted for reports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import pyarrow as pa

from dclm.curate.quantity import Rule
from dclm.curate.step import Context, Filter, FilterFunction, JudgeFunction


class MeasuringFilter(Filter):
    """Keeps the documents that pass its only rule."""

    @abstractmethod
    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        """The function from a batch to the rule with its answers and the values that it compared."""

    def open(self, context: Context) -> FilterFunction:
        rule = self.open_rule(context)
        return lambda batch: pa.array(rule(batch).passes)

    def open_judge(self, context: Context) -> JudgeFunction:
        rule = self.open_rule(context)

        def judge(batch: pa.RecordBatch) -> tuple[pa.BooleanArray, list[Rule]]:
            found = rule(batch)
            return pa.array(found.passes), [found]

        return judge
