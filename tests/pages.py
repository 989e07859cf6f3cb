"""Every kind of page and picture that the tool makes, and what a browser finds wrong with one."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dclm.board.entry import own
from dclm.board.pages.page import export_site
from dclm.eval.plot import draw_bits, draw_forest, draw_scores
from dclm.eval.statistics.compare import Comparison
from dclm.eval.statistics.difference import Difference
from dclm.eval.suite import load_suite
from dclm.report.ablation.page import render_ablation
from dclm.report.ablation.run import Ablation, StepEffect
from dclm.report.build import build_report
from dclm.report.duplicates import build_duplicate_report
from dclm.report.duplicates_page import render_duplicates
from dclm.report.page import render_report
from dclm.report.pictures.curve import draw_curves
from dclm.science.experiment.plot import draw_order, draw_power_law, draw_rates
from dclm.science.experiment.run import Point
from dclm.science.experiment.statistics import differences, fit_power_law, means
from dclm.science.predict.backtest import Backtest, Bin, Pair
from dclm.science.predict.draw import draw_calibration
from dclm.science.scaling.draw import draw_scaling
from dclm.science.scaling.fit import Observation, fit_scaling
from dclm.select.classifier.metrics import precision_recall, summarize
from dclm.train.output.metrics import StepMetrics
from dclm.train.output.plot import draw_loss

LONG = "a_name_that_nobody_has_shortened_" * 4


def report_page(artifact: Path, out: Path) -> Path:
    return _write(out / "report.html", render_report(build_report(artifact, None)))


def duplicates_page(artifact: Path, out: Path) -> Path:
    return _write(out / "duplicates.html", render_duplicates(build_duplicate_report(artifact)))


def ablation_page(out: Path) -> Path:
    steps = tuple(
        StepEffect(
            index=i, step=name, gone_with=(3, 4) if i == 2 else (), dropped=1_000_000 + i, dropped_alone=1_200_000,
            also_dropped_by_others=40_000 * i, only_here=900_000, caught_later=100_000, lost_without=i,
            kept_without=3_000_000, characters_without=9_000_000_000,
        )
        for i, name in enumerate(["page_length", "word_count", LONG, "repetition_filter_of_many_words", "exact"])
    )  # fmt: skip
    overlap = tuple(tuple(1_200_000 if i == j else 150_000 * (i + j) for j in range(5)) for i in range(5))
    found = Ablation(
        pipeline=LONG, documents=10_000_000, kept=2_000_000, characters=8_000_000_000, steps=steps, overlap=overlap
    )
    return _write(out / "ablation.html", render_ablation(found))


def board_pages(make: Callable[..., Any], out: Path) -> list[Path]:
    """The board with published results, a page of each kind of entry."""
    counts = {"sample": {"read": 10, "kept": 4, "dropped": 5, "rejected": 1, "decisions": {"quantile": {"cut": 0.5}}}}
    provenance = {"dclm": "0.1.0", "git_commit": "abc123", "recipe": {"name": LONG, "scale": "tiny"}}
    first = make(name="first", accuracy=0.5, scale="411m_1x", track="filtering", provenance=provenance)
    first = dataclasses.replace(first, data=dataclasses.replace(first.data, counts=counts))
    entries = own([first, make(name=LONG, accuracy=0.4, scale="tiny"), make(name="partial", tasks=5, scale="5m")])
    index = export_site(entries, out / "board", published=True)
    details = [out / "board" / "results" / f"{entry.id}.html" for entry in entries]
    published = next(p for p in sorted((out / "board" / "results").glob("*.html")) if p not in details)
    return [index, *details[:2], published]


def pictures(out: Path) -> list[Path]:
    """One file of each kind of chart."""
    out.mkdir(exist_ok=True)
    draw = random.Random(0)
    metrics = [
        StepMetrics(step=i, loss=4 * math.exp(-i / 40) + 3 + draw.gauss(0, 0.1), z_loss=0, lr=1, grad_norm=1, tokens=i)
        for i in range(1, 201)
    ]
    draw_loss(out / "loss.svg", metrics, "tiny <seed> 1", {"entropy of single tokens": 6.5})
    scores = _scores(draw)
    draw_scores(out / "scores.svg", scores, "suite core")
    draw_bits(out / "bits.svg", scores, "suite core")
    draw_forest(out / "forest.svg", _comparison(draw), f"out/{LONG}", "out/b")
    points = [
        Point(
            recipe=recipe, scale=f"s{n}", seed=seed, parameters=n, tokens=tokens, train_loss=1.0, repeated=0.0,
            bits_per_byte=level * n**-0.07 * tokens**-0.11 * draw.gauss(1, 0.01), fingerprint="f", learning_rate=rate,
        )
        for recipe, level in (("raw", 33), ("clean & deduplicated", 30))
        for n in (74_080, 230_336, 493_344)
        for tokens in (1_000_000, 4_000_000)
        for seed in (1, 2)
        for rate in (0.5, 1.0)
    ]  # fmt: skip
    own_rate = [p for p in points if p.learning_rate == 1.0]
    cells = means(own_rate)
    law = fit_power_law([c for c in cells if c.recipe == "raw"])
    assert law is not None
    draw_order(out / "order.svg", own_rate, cells, differences(own_rate), "an experiment")
    draw_rates(out / "rates.svg", points, "an experiment")
    draw_power_law(out / "curve.svg", [c for c in cells if c.recipe == "raw"], law, "an experiment: raw")
    labels = np.arange(40) % 3 == 0
    marks = np.clip(labels * 0.4 + np.array([draw.random() for _ in labels]) * 0.6, 0, 1)
    _write(out / "pr.svg", draw_curves(summarize(marks, labels), precision_recall(marks, labels), LONG))
    runs = [
        Observation(corpus=f"corpus {c}", flops=10.0**p, value=0.1 * p - 0.02 * c + draw.gauss(0, 0.002))
        for c in range(12)
        for p in (18, 19, 20)
    ]
    _write(out / "scaling.svg", draw_scaling(fit_scaling(runs, "corpus 0"), runs, "CORE", "CORE over compute"))
    _write(out / "calibration.svg", draw_calibration([("400m → 1b", _backtest()), ("1b → 7b", _backtest())]))
    return sorted(out.glob("*.svg"))


def _scores(draw: random.Random) -> dict[str, Any]:
    tasks = {
        task.task: {
            "accuracy": (value := draw.random()), "interval": [value - 0.05, value + 0.05],
            "baseline": dataclasses.asdict(task.metadata.baseline),
            "continuous": {"bits_per_byte": {"value": 1 + value, "interval": [0.9 + value, 1.1 + value]}},
        }
        for task in load_suite("core").tasks
    }  # fmt: skip
    means_of = {f"{name}_v2": 0.3 for name in ("core", "extended")}
    errors = {f"{name}_v2_standard_error": 0.01 for name in ("core", "extended")}
    bits = {"core_bpb": 1.5, "core_bpb_standard_error": 0.02, "limited": None, "groups": {}}
    return {"tasks": tasks, **means_of, **errors, **bits}


def difference(value: float, reach: float) -> Difference:
    return Difference(
        value=value, standard_error=reach / 1.96, low=value - reach, high=value + reach, probability=0.5,
        detectable=reach, item_error=reach, seed_error=None,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Task:
    difference: Difference


def _comparison(draw: random.Random) -> Comparison:
    tasks = {label: _Task(difference(draw.gauss(0, 0.03), 0.04)) for label in load_suite("core").labels}
    tasks["copa"] = _Task(difference(0.01, 2.0))  # few items: an interval that would flatten all others
    core = difference(0.012, 0.008)
    return Comparison(
        num_runs=(1, 1), core=core, extended=None, common=core, tasks=tasks, core_bpb=difference(-0.02, 0.01),
        items={}, continuous={}, texts={}, not_common=(), limited=(),
    )  # type: ignore[arg-type]  # fmt: skip


def _backtest() -> Backtest:
    pairs = tuple(Pair(a="a", b="b", p_a_better=0.8, a_better=True, low=-1, high=1) for _ in range(60))
    bins = tuple(Bin(low=b, high=b + 0.1, pairs=n, said=b + 0.05, right=b) for b, n in ((0.6, 10), (0.8, 50)))
    return Backtest(
        pairs=pairs, corpora=12, accuracy=0.8, brier=0.15, accuracy_interval=(0.7, 0.9), brier_interval=(0.1, 0.2),
        bins=bins,
    )  # fmt: skip


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


PROBLEMS = r"""
(() => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const found = [], wide = document.scrollingElement ? document.scrollingElement.scrollWidth : 0;
  if (wide > innerWidth) found.push(`the page is ${wide} wide, the window ${innerWidth}`);
  const root = document.documentElement;
  if (root.tagName === "svg" && root.getBoundingClientRect().width > innerWidth) found.push("the picture is cut");
  for (const e of document.querySelectorAll("*")) {
    const style = getComputedStyle(e);
    if (!e.checkVisibility() || e.closest("svg") || e.matches("option, select, bdi")) continue;
    if (["hidden", "clip"].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && !e.matches(".only-read"))
      found.push(`cut: ${e.outerHTML.slice(0, 80)}`);
    if (e.scrollWidth <= e.clientWidth + 1 || !["auto", "scroll"].includes(style.overflowX)) continue;
    if (e.matches("pre")) continue;
    if (!style.backgroundImage.includes("gradient")) found.push(`no hint of more: ${e.outerHTML.slice(0, 80)}`);
    if (e.tabIndex < 0) found.push(`no keyboard: ${e.outerHTML.slice(0, 80)}`);
  }
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.closest("[aria-hidden=true]")) continue;
    const title = svg.querySelector(":scope > title");
    if (svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label") || !title || !title.textContent)
      found.push(`a picture without words: ${svg.outerHTML.slice(0, 80)}`);
  }
  for (const text of document.querySelectorAll("svg text")) {
    const whole = text.ownerSVGElement.getBoundingClientRect(), box = text.getBoundingClientRect();
    if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 ||
        box.bottom > whole.bottom + 1) found.push(`text beyond the picture: ${text.textContent.trim().slice(0, 60)}`);
  }
  const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number);
    if (c.startsWith("color(")) return [255 * n[0], 255 * n[1], 255 * n[2], n[3] ?? 1];
    return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat([1]);
  const light = (c) => { const l = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const ground = (e) => { const stack = [];
    for (let at = e; at && at.tagName !== "svg"; at = at.parentElement)
      stack.push(parse(getComputedStyle(at).backgroundColor));
    return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]); };
  const behind = (text) => { const svg = text.ownerSVGElement, box = text.getBoundingClientRect();
    const x = box.x + box.width / 2, y = box.y + box.height / 2, layers = [];
    for (const shape of svg.querySelectorAll("rect, path")) {
      const b = shape.getBoundingClientRect();
      if (shape.closest("defs, clipPath") || b.x > x || b.right < x || b.y > y || b.bottom < y) continue;
      const s = getComputedStyle(shape);
      if (s.fill === "none" || !s.fill.startsWith("rgb")) continue;
      const c = parse(s.fill); layers.push([c[0], c[1], c[2], c[3] * Number(s.fillOpacity)]);
    }
    const first = svg.parentElement ? ground(svg.parentElement) : [255, 255, 255, 1];
    return layers.reduce((under, top) => over(top, under), first); };
  for (const e of document.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("title, desc, style, script, metadata, option, .only-read")) continue;
    const style = getComputedStyle(e), inside = e.closest("svg");
    const color = parse(inside ? style.fill : style.color), under = inside ? behind(e.closest("text")) : ground(e);
    const [low, high] = [light(over(color, under)), light(under)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${e.outerHTML.slice(0, 120)}`);
  }
  return [...new Set(found)];
})()
"""
"""What is wrong with the page that is open, as sentences: too wide, cut, pictures without words, contrast below AA."""
