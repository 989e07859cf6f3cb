"""Each setting of a DCLM mapper in the reference data, converted, decides on 596 documents as the mapper did."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dclm.curate.convert import convert_pipeline
from dclm.curate.pipeline import load_pipeline
from dclm.curate.step import Step


def converted(func: str, args: dict[str, object], folder: Path) -> tuple[Step, ...]:
    """The steps that replace one mapper, converted through files like a user's."""
    theirs, ours = folder / "theirs.yaml", folder / "ours.yaml"
    theirs.write_text(yaml.safe_dump([{"source": "cc", "steps": [{"func": func, **args}]}]), encoding="utf-8")
    conversion = convert_pipeline(theirs)
    assert conversion.problems == ()
    ours.write_text(conversion.as_yaml(), encoding="utf-8")
    return load_pipeline(ours).steps


def verdict(row: int, text: str, outcome: Any) -> list[object]:
    """The form of the reference data: [0, null] dropped, [1, null] unchanged, [1, sha256[:16]] changed."""
    if row in outcome.dropped:
        return [0, None]
    edited = outcome.kept[row]["text"]
    return [1, None if edited == text else hashlib.sha256(edited.encode()).hexdigest()[:16]]


@pytest.mark.shared
@pytest.mark.slow
def test_every_setting_of_every_mapper_is_identical(shared: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    with gzip.open(shared / "conformance" / "steps.json.gz", "rt", encoding="utf-8") as file:
        data = json.load(file)
    urls, texts = [d["url"] for d in data["docs"]], [d["text"] for d in data["docs"]]
    assert (len(texts), len(data["steps"])) == (596, 72)

    wrong = []
    for setting in data["steps"]:
        outcome = run(converted(setting["func"], setting["args"], tmp_path), urls, texts)
        different = [row for row, want in enumerate(setting["rows"]) if verdict(row, texts[row], outcome) != want]
        if different:
            wrong.append(f"{setting['func']} {setting['args']}: {len(different)} differ, first {different[:5]}")
    assert wrong == []
