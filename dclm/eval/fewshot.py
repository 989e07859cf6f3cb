"""Which rows of a task precede a question as examples: exactly the reference's draw."""

from __future__ import annotations

import random

SEED = 1234
"""llm-foundry's default. DCLM's YAML says `seed: 1`, which is not the seed of this draw."""


class FewShotDraw:
    """Draws the examples of each row of one part (a task, or one category of it), in row order.

    One generator serves the whole part, so rows must be requested in order, without gaps. Source:
    `_get_fewshot_sample_idxs` of llm-foundry. The set's iteration order is the order of the examples.
    """

    def __init__(self, num_rows: int, num_fewshot: int, seed: int = SEED) -> None:
        self._random = random.Random(seed)
        self._rows = range(num_rows)
        self._count = min(num_rows - 1, num_fewshot)
        self._next = 0

    def draw(self, row: int) -> list[int]:
        """Rows that precede `row` as examples, in their order."""
        assert row == self._next, "rows must be drawn in order"
        self._next += 1
        if self._count <= 0:
            return []
        chosen = set(self._random.sample(self._rows, self._count))
        if row in chosen:
            chosen.remove(row)
            other = self._random.choice(self._rows)
            while other in chosen or other == row:
                other = self._random.choice(self._rows)
            chosen.add(other)
        return list(chosen)
