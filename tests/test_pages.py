"""Pages and pictures on a screen and a phone, in light and dark: nothing is cut, and everything can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dclm.charts.palette import BACKGROUNDS, DARK, LIGHT, SERIES, SHAPES, TEXTS
from dclm.eval.plot import _Line, limits
from dclm.train.output.metrics import smoothed_updates
from dclm.train.output.plot import smooth
from tests import pages
from tests.board.conftest import make as make
from tests.browser import Browser, resize
from tests.report.test_report_duplicates import NEAR, write
from tests.report.test_report_duplicates import make as curated
from tests.report.test_report_page import HOSTILE, PIPELINE, run, text_pool

WINDOWS = list(itertools.product((1280, 390), ("light", "dark")))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Reports of two artifacts and of an ablation, and all charts."""
    root = tmp_path_factory.mktemp("pages")
    rows = [{"id": f"{n}", "url": f"http://host{n % 7}.example/{text[:60]}", "text": text + " word" * (n % 90)}
            for n, text in enumerate([pages.LONG, "Many plain words. " * 30, *HOSTILE] * 12)]  # fmt: skip
    run(PIPELINE.replace("  - extract\n", ""), [text_pool(root / "p.jsonl", rows)], root / "artifact")
    near = curated(write(root), root / "near", NEAR)
    found = [pages.report_page(root / "artifact", root), pages.duplicates_page(near, root), pages.ablation_page(root)]
    return [*found, *pages.pictures(root / "pictures")]


@pytest.mark.slow
def test_nothing_is_cut_or_hard_to_read(browser: Browser, shown: list[Path]) -> None:
    assert len(shown) == 3 + 10
    check(browser, shown)


def test_the_board_is_not_cut_or_hard_to_read(browser: Browser, make: Callable[..., Any], tmp_path: Path) -> None:
    check(browser, pages.board_pages(make, tmp_path))


def check(browser: Browser, paths: list[Path]) -> None:
    found = {}
    for width, scheme in WINDOWS:
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for path in paths:
            resize(browser, width, 844, phone=width < 600 and path.suffix == ".html")
            browser.open(path)
            problems = browser.evaluate(pages.PROBLEMS)
            if problems:
                found[f"{path.name}, {width} pixels, {scheme}"] = problems[:5]
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p style='width:900px'>x</p>", "wide"),
        ("<p style='color:#999'>x</p>", "contrast"),
        ("<div style='overflow-x:auto'><p style='width:900px'>x</p></div>", "no hint"),
        ("<div style='overflow:hidden;width:50px'><p style='width:90px'>x</p></div>", "cut"),
        ("<svg role='img'></svg>", "without words"),
        ("<svg role='img' aria-label='x'><title>x</title><rect width='90' height='90'/><text y='20'>x</text></svg>",
         "contrast"),
        ("<svg role='img' aria-label='x'><title>x</title><text x='290' y='20'>too long</text></svg>", "beyond"),
        ("<p>x</p>", None),
    ],
)  # fmt: skip
def test_the_check_finds_what_is_wrong(browser: Browser, tmp_path: Path, body: str, expected: str | None) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<meta name='viewport' content='width=device-width, minimum-scale=1'><title>x</title>{body}")
    resize(browser, 390, 844)
    browser.open(page)
    problems = browser.evaluate(pages.PROBLEMS)
    assert (problems == []) if expected is None else any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_colors_stand_out_from_every_background(colors: dict[str, str]) -> None:
    for text, under in itertools.product(TEXTS, BACKGROUNDS):
        assert contrast(colors[text], colors[under]) >= 4.5, (text, under)
    for shape in (*SHAPES, *SERIES):
        assert contrast(colors[shape], colors["panel"]) >= 3, shape


def test_light_colors_differ_so_that_each_can_be_repainted() -> None:
    by_color: dict[str, set[str]] = {}
    for name, color in LIGHT.items():
        by_color.setdefault(color, set()).add(DARK[name])
    assert all(len(dark) == 1 for dark in by_color.values())


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_loss_is_smoothed_without_lag() -> None:
    steps = np.arange(400)
    falling = 10 - 0.01 * steps
    assert np.allclose(smooth(falling), falling)
    noisy = falling + np.random.default_rng(0).normal(0, 0.3, len(steps))
    assert np.abs(smooth(noisy) - falling)[20:-20].max() < 0.3
    assert smoothed_updates(len(steps)) > 20


def test_one_wide_interval_does_not_decide_the_axis_of_a_forest_plot() -> None:
    lines = [_Line(str(i), 0.001 * i, 0.001 * i - 0.02, 0.001 * i + 0.02, "") for i in range(20)]
    left, right = limits([*lines, _Line("few items", 0.05, -0.9, 0.9, "")])
    assert -0.05 < left < 0 < 0.05 < right < 0.1
    assert limits(lines)[0] < -0.02
    assert limits([_Line("alone", 0.1, None, None, "")]) == pytest.approx((-0.004, 0.104))
