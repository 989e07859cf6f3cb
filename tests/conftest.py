"""Fixtures that all tests share: the real data, where it is there, and the skip with a reason, where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if (SHARED / "DATA.md").exists():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"needs the real data: no {SHARED} (set DCLM_SHARED)"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that use it carry `@pytest.mark.shared`."""
    return SHARED
