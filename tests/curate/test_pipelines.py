"""The shipped pipelines: each loads, names its source, and has the order of its paper."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from pathlib import Path

import pytest

from dclm.curate.pipeline import bind, load_pipeline
from dclm.extract.extractors import DISTRIBUTIONS, NAMES

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
FILES = [path for folder in (PIPELINES, PIPELINES / "examples") for path in sorted(folder.glob("*.yaml"))]


def names(pipeline: str) -> list[str]:
    return [step.name for step in load_pipeline(PIPELINES / f"{pipeline}.yaml").steps]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_pipeline_loads_under_its_own_name_and_says_what_it_is(path: Path) -> None:
    pipeline = load_pipeline(path)
    assert pipeline.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert pipeline.steps[0].name == "extract"
    assert "extract" not in [step.name for step in pipeline.steps[1:]]


def test_the_published_ones_are_all_there() -> None:
    expected = {
        "c4", "dclm_baseline", "dclm_baseline_fixed", "dclm_baseline_minhash", "dclm_refinedweb",
        "dclm_refinedweb_open", "demo", "fineweb", "refinedweb",
    }  # fmt: skip
    assert expected <= {path.stem for path in FILES}


def test_the_pipelines_of_dclm_differ_only_where_they_say() -> None:
    open_, whole = (
        load_pipeline(PIPELINES / f"{name}.yaml").steps for name in ("dclm_refinedweb_open", "dclm_refinedweb")
    )
    assert whole[2:] == open_[1:]
    assert whole[1].match == "domain"  # type: ignore[attr-defined]
    refinedweb = load_pipeline(PIPELINES / "refinedweb.yaml").steps
    assert refinedweb[:2] + refinedweb[3:] == whole
    baseline = load_pipeline(PIPELINES / "dclm_baseline.yaml").steps
    assert baseline[: len(whole)] == whole
    assert [step.name for step in baseline[len(whole) :]] == ["bloom", "fasttext_score", "threshold"]
    assert baseline[-1].min == 0.018112  # type: ignore[attr-defined]
    minhash = load_pipeline(PIPELINES / "dclm_baseline_minhash.yaml").steps
    assert minhash[: len(whole)] + minhash[len(whole) + 2 :] == baseline[: len(whole)] + baseline[len(whole) + 1 :]
    assert [step.name for step in minhash[len(whole) :]] == ["minhash", "substring", "fasttext_score", "threshold"]


def test_the_fixed_baseline_fixes_eight_steps_and_leaves_the_others() -> None:
    baseline, fixed = (
        load_pipeline(PIPELINES / f"{name}.yaml").steps for name in ("dclm_baseline", "dclm_baseline_fixed")
    )
    mended = [ours.name for ours, theirs in zip(fixed, baseline, strict=True) if ours != theirs]
    assert [step.name for step in fixed] == [step.name for step in baseline]
    assert mended == [
        "extract", "url_blocklist", "url_removal", "language", "page_length", "stop_words", "repetition",
        "substring_lines",
    ]  # fmt: skip
    header = (PIPELINES / "dclm_baseline_fixed.yaml").read_text(encoding="utf-8").split("name:")[0]
    assert all(f"# {name}:" in header for name in mended)


def test_the_page_on_the_fixed_baseline_gives_the_reasons_of_its_file() -> None:
    from tests.bench.bench_baseline_fixed import TARGET, reasons  # reads ../shared only when it runs

    page = TARGET.read_text(encoding="utf-8")
    assert page.rstrip().endswith("\n".join(reasons())), "run `python -m tests.bench.bench_baseline_fixed --write`"


def test_the_demonstration_is_dclms_heuristics_with_what_everybody_can_get() -> None:
    demo = load_pipeline(PIPELINES / "demo.yaml").steps
    assert [step.name for step in demo[-4:]] == ["exact", "minhash", "fasttext_score", "quantile"]
    assert [step.name for step in demo[:-4]] == names("dclm_refinedweb_open")
    files = {asset for step in demo for asset in step.assets}
    assert files == {
        "datatrove-words-strict", "datatrove-words-hard", "datatrove-words-soft", "iana-tlds-2026", "lid.176.ftz", "hq",
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_steps_are_values(path: Path) -> None:
    steps = load_pipeline(path).steps
    assert steps == load_pipeline(path).steps
    assert all(dataclasses.replace(step) == step for step in steps)


def test_another_version_of_an_extractor_is_another_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(extractors: str) -> str:
        path = tmp_path / "p.yaml"
        path.write_text(f"name: p\nsteps: [{{extract: {{with: {extractors}}}}}, {{newlines: {{}}}}]\n")
        return bind(load_pipeline(path)).identity(0, 2)

    installed = metadata.version
    lists = ("resiliparse", "[resiliparse, trafilatura]", "justext")
    before = [identity(extractors) for extractors in lists]
    monkeypatch.setattr(metadata, "version", lambda name: "9.9" if name == "trafilatura" else installed(name))
    after = [identity(extractors) for extractors in lists]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True]


def test_every_extractor_says_what_it_is_installed_with() -> None:
    assert set(DISTRIBUTIONS) == set(NAMES)
    assert all(metadata.version(name) for name in DISTRIBUTIONS.values())
