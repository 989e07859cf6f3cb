"""The documents whose duplicates are known."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def known_texts(shared: Path) -> list[str]:
    """The documents of conformance/dedup_input."""
    with gzip.open(shared / "conformance" / "dedup_input.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="session")
def known_duplicates(shared: Path) -> dict[str, list[Any]]:
    """conformance/dedup_expected: `bff` settings with a hash for each document, and `jaccard_pairs`."""
    with gzip.open(shared / "conformance" / "dedup_expected.json.gz", "rt", encoding="utf-8") as handle:
        loaded: dict[str, list[Any]] = json.load(handle)
    return loaded
