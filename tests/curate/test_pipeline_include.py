"""A pipeline may include another one: only the flat list of steps counts, and errors name the file that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.core.errors import ConfigError
from dclm.curate.pipeline import bind, load_pipeline

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted([*(ROOT / "pipelines").rglob("*.yaml"), *(ROOT / "recipes").rglob("pipelines/*.yaml")])


def write(folder: Path, **files: str) -> None:
    for name, steps in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"name: {path.stem}\nsteps:\n{steps}")


def test_steps_are_those_of_the_flat_list_and_so_is_the_identity(tmp_path: Path) -> None:
    write(
        tmp_path,
        outer="  - sentences\n  - include: parts/inner.yaml\n  - pii_masking\n",
        parts__inner="  - include: ../last.yaml\n  - line_words: {min: 2}\n",
        last="  - citations\n",
        flat="  - sentences\n  - citations\n  - line_words: {min: 2}\n  - pii_masking\n",
        twice="  - include: last.yaml\n  - include: last.yaml\n",
    )
    outer, flat = (load_pipeline(tmp_path / f"{name}.yaml") for name in ("outer", "flat"))
    assert (outer.name, outer.steps) == ("outer", flat.steps)
    assert bind(outer).identity(1, 4) == bind(flat).identity(1, 4)
    assert [step.name for step in load_pipeline(tmp_path / "twice.yaml").steps] == ["citations", "citations"]


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    write(
        tmp_path, a="  - include: b.yaml\n", b="  - citations\n  - include: a.yaml\n", self="  - include: self.yaml\n"
    )
    with pytest.raises(ConfigError, match=r"b\.yaml:4: .*\n.*circle: a\.yaml → b\.yaml → a\.yaml"):
        load_pipeline(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"self\.yaml:3: .*\n.*circle: self\.yaml → self\.yaml"):
        load_pipeline(tmp_path / "self.yaml")


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ("  - include: none.yaml\n", r"outer\.yaml:3: steps\[0\]\.include\nno such file: .*none\.yaml"),
        ("  - include: [a, b]\n", r"outer\.yaml:3: .*\nfound \['a', 'b'\], allowed: the path of a pipeline"),
        ("  - include:\n", r"outer\.yaml:3: .*\nfound None, allowed: the path of a pipeline"),
        ("  - citations\n  - include: wrong.yaml\n", r"wrong\.yaml:3: .*\nunknown step `citation`"),
        ("  - include: empty.yaml\n", r"empty\.yaml:1\na pipeline needs"),
        ("  - include: own.yaml\n", r"own\.yaml:3: .*\n.*only with --trust"),
    ],
)
def test_an_error_names_the_file_and_line_where_it_is(tmp_path: Path, steps: str, error: str) -> None:
    write(tmp_path, outer=steps, wrong="  - citation\n", own="  - my.module:Step\n")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(ConfigError, match=error):
        load_pipeline(tmp_path / "outer.yaml")


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_six_steps_are_written_down_twice(path: Path) -> None:
    """The common parts of shipped files are included; `dclm_baseline_fixed` is written out for comparison."""
    if path.stem == "dclm_baseline_fixed":
        return

    def runs(file: Path) -> set[tuple[str, ...]]:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("  - ")]
        return {tuple(lines[i : i + 6]) for i in range(len(lines) - 5)}

    for other in ALL:
        if other != path and other.stem != "dclm_baseline_fixed":
            assert not runs(path) & runs(other), other
