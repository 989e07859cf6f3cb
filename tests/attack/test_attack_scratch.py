"""Another user of the machine cannot put files where this one's work and findings are kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.core.errors import ConfigError
from dclm.core.stores.cache import scratch


def link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the default scratch folder is."""
    monkeypatch.delenv("DCLM_SCRATCH", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"dclm-{os.getuid()}"


def test_the_default_folder_is_this_users_alone(folder: Path) -> None:
    assert scratch() == scratch() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("plant", [link, open_to_all])
def test_a_planted_scratch_folder_is_refused(plant: Callable[[Path], None], folder: Path) -> None:
    plant(folder)
    with pytest.raises(ConfigError, match="others can write to it\nhint: set DCLM_SCRATCH"):
        scratch()


def test_another_users_scratch_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    owner = os.getuid()
    folder.rename(folder.with_name(f"dclm-{owner + 1}"))
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        scratch()


def test_a_folder_that_the_user_names_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_to_all(tmp_path / "shared")
    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "shared"))
    assert scratch() == tmp_path / "shared"
