"""The pipeline dclm_refinedweb_open decides on 2,287 real pages as DCLM's own mappers did, step by step."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dclm.curate.pipeline import load_pipeline

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
DETECTION_AND_FILTER = 5
"""The reference detects the language in one step (5) and filters by it in the next: both are step 5 of ours."""


def read_pages(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def reference_step(ours: int) -> int:
    return ours if ours < DETECTION_AND_FILTER else ours + 1


@pytest.mark.shared
@pytest.mark.slow
def test_every_page_is_dropped_by_the_same_step_or_kept_with_the_same_text(
    shared: Path, run: Callable[..., Any]
) -> None:
    pages = read_pages(shared / "conformance" / "refinedweb_input.jsonl.gz")
    expected = read_pages(shared / "conformance" / "refinedweb_pages.jsonl.gz")
    pipeline = load_pipeline(PIPELINES / "dclm_refinedweb_open.yaml")
    assert [step.name for step in pipeline.steps][:1] == ["extract"]

    outcome = run(pipeline.steps[1:], [page["url"] for page in pages], [page["text"] for page in pages])

    assert len(pages) == len(expected) == 2287
    wrong = []
    for row, want in enumerate(expected):
        dropped = outcome.dropped.get(row)
        found = None if dropped is None else reference_step(dropped)
        if found != want["dropped_by"]:
            wrong.append(f"page {row} {want['url']}: dropped by {found}, expected {want['dropped_by']}")
        elif found is None:
            kept = outcome.kept[row]
            sha = hashlib.sha256(kept["text"].encode()).hexdigest()
            if sha != want["text_sha256"] or kept["previous_word_count"] != want["word_count"]:
                wrong.append(f"page {row} {want['url']}: another text or word count")
            [(language, score)] = want["lang"].items()
            if kept["language"] != language or round(kept["language_score"], 6) != pytest.approx(score, abs=1.1e-6):
                wrong.append(f"page {row} {want['url']}: {kept['language']} {kept['language_score']}, {want['lang']}")
    assert wrong == []
