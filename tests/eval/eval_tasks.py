"""Four small tasks, one of each kind, for tests that score something whole."""

from __future__ import annotations

from pathlib import Path

from dclm.eval.rows import Row

ROWS: dict[str, list[Row]] = {
    "choose": [
        {"query": f"What is {i}?", "choices": ["a", "bb", "ccc"], "gold": i % 3, "category": f"c{i % 2}"}
        for i in range(9)
    ],
    "complete": [{"context": f"{i} and {i}", "continuation": "more"} for i in range(7)],
    "say": [{"context": f"Say {i}", "answer": str(i), "aliases": ["one", "two"]} for i in range(5)],
    "tell": [{"context_options": ["he did", "she did"], "continuation": "so", "gold": 0} for _ in range(4)],
}
KINDS = {"choose": "multiple_choice", "complete": "language_modeling", "say": "generation", "tell": "schema"}


def write_task(folder: Path, label: str, rows: int, sha256: str) -> None:
    categories = "true" if label == "choose" else "false"
    (folder / f"{label}.yaml").write_text(
        f"task: {label}\ninclude: templates/{KINDS[label]}.yaml\nnum_fewshot: 2\nmetadata:\n  version: 1\n"
        f"  about: A test.\n  kind: {KINDS[label]}\n  group: tests\n  data:\n    file: tests/{label}.jsonl\n"
        f'    rows: {rows}\n    sha256: {sha256}\n  continuation_delimiter: " "\n  categories: {categories}\n'
        "  baseline: {v1: 0.25, v2: 0.25}\n  source: here\n  licence: Apache-2.0\n"
    )
