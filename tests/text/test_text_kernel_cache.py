"""Compiled kernels: when they are used again, and that damaged files cost a compilation, not the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.text import kernel_cache
from dclm.text.counting import ngrams

ROOT = Path(__file__).resolve().parent.parent.parent
USE = """
from dclm.text import kernel_cache
kernel_cache.use()
import kernel
assert kernel.double(21) == 42
print(sum(kernel.double.stats.cache_hits.values()))
"""
KERNEL = """
import numba
@numba.njit(cache=True)
def double(x):
    return 2 * x
"""


def hits(folder: Path) -> int:
    """Use the kernel in a new process; returns how often it was loaded instead of compiled."""
    paths = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def damage(folder: Path, endings: str, change: Callable[[bytes], bytes]) -> None:
    paths = list((folder / "cache").rglob(endings))
    assert paths
    for path in paths:
        path.write_bytes(change(path.read_bytes()))


@pytest.mark.slow
def test_damaged_kernels_are_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
    damage(tmp_path, "*.nb*", lambda content: b"")
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbi", lambda content: content[: len(content) // 2])
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbc", lambda content: content[: len(content) // 2])
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbi", lambda content: b"no pickle at all")
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1


LOADED = """
import dclm, numpy as np
from dclm.text.counting.ngrams import find_words
from dclm.text.unicode import class_table
find_words(np.frombuffer(b"two words", np.uint8), 0, 9, class_table(), False)
print(dclm.__file__, sum(find_words.stats.cache_hits.values()))
"""


def copied(tmp_path: Path, name: str) -> Path:
    """The package as a job brings it along: at another place, with new times of its files."""
    shutil.copytree(ROOT / "dclm", tmp_path / name / "dclm", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / name


def loaded(root: Path, cache: Path) -> int:
    """Whether the package at `root` found a kernel that it need not compile."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(root)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    where, hits = done.stdout.split()
    assert Path(where).is_relative_to(root)
    return int(hits)


@pytest.mark.slow
def test_kernels_of_an_image_serve_a_copy_elsewhere_until_what_they_call_changes(tmp_path: Path) -> None:
    image, job = copied(tmp_path, "image"), copied(tmp_path, "job")
    assert loaded(image, tmp_path / "cache") == 0
    assert loaded(job, tmp_path / "cache") == 1
    other = job / "dclm" / "text" / "hosts.py"  # find_words calls nothing of it
    other.write_text(other.read_text() + "\nEDITED = True\n")
    assert loaded(job, tmp_path / "cache") == 1
    called = job / "dclm" / "text" / "words.py"
    called.write_text(called.read_text() + "\nEDITED = True\n")
    assert loaded(job, tmp_path / "cache") == 0


def test_the_digest_covers_everything_that_is_imported() -> None:
    """As Python itself sees it: modules that importing a file loads and that contain kernels."""
    code = "import sys, dclm.text.counting.ngrams\n"
    code += "print(*[m.__file__ for n, m in sys.modules.items() if 'dclm.text' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    covered, left = {Path(ngrams.__file__).resolve()}, [Path(ngrams.__file__).resolve()]
    while left:
        new = kernel_cache.imported(left.pop()) - covered
        covered |= new
        left += new
    loaded_files = {Path(name).resolve() for name in done.stdout.split()}
    outside = {Path(kernel_cache.__file__).resolve(), Path(kernel_cache.__file__).resolve().parent / "__init__.py"}
    assert loaded_files - covered <= outside
