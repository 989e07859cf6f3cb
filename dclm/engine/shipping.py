"""Files uploaded with a job: a copy of the project, and a recipe from elsewhere with the files that it names."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = "submitted"
"""Folder in the project's copy for the files of a recipe from elsewhere."""
_LEFT_OUT = ("tests", "docs", "out", FOLDER)
_LEFT_OUT_ENDINGS = (".warc.gz", ".parquet", ".safetensors", ".pyc")


@contextlib.contextmanager
def staged(root: Path, recipe: Path, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """A temporary copy of the project at `root` with `recipe` and `files` in it, and the recipe's path in the copy.

    The files keep their relative locations, so relative paths in them stay valid.
    """
    paths = [recipe.resolve(), *(file.resolve() for file in files)]
    common = Path(os.path.commonpath([path.parent for path in paths]))
    with tempfile.TemporaryDirectory(prefix="dclm-submit-") as folder:
        stage = Path(folder) / "project"
        shutil.copytree(root, stage, ignore=lambda where, names: _ignored(Path(where) == root, names))
        for path in paths:
            target = stage / FOLDER / path.relative_to(common)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield stage, f"{FOLDER}/{paths[0].relative_to(common).as_posix()}"


def _ignored(top: bool, names: list[str]) -> set[str]:
    return {
        name
        for name in names
        if (name.startswith(".") and name != ".gitignore")
        or name == "__pycache__"
        or name.endswith(_LEFT_OUT_ENDINGS)
        or (top and name in _LEFT_OUT)
    }
