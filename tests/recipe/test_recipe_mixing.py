"""How a recipe states how much of each source is read, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.core.errors import ConfigError
from dclm.recipe.mixing import mixture_line, repeats_declared, tokens_config
from dclm.recipe.recipe import Recipe, load_recipe
from dclm.tokens.config import Phase
from dclm.train.scale import find_scale

SOURCES = """
name: r
scale: 5m
tasks: [copa]
data:
  - {{name: web, pool: {{jsonl: [a.jsonl]}}, pipeline: steps.yaml{web}}}
  - {{name: books, pool: {{jsonl: [b.jsonl]}}, pipeline: steps.yaml{books}}}
"""
PHASES = """
phases:
  - {share: 9, weights: {web: 3, books: 1}}
  - {share: 1, weights: {books: 1}}
"""
REPEATS = """
repeats: {column: cluster_size, function: log2, cap: 4}
"""


def load(folder: Path, more: str = "", web: str = "", books: str = "") -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(SOURCES.format(web=web, books=books) + more, encoding="utf-8")
    return load_recipe(path).recipe


def test_phases_and_caps_reach_the_tokens(tmp_path: Path) -> None:
    recipe = load(tmp_path, PHASES + REPEATS + "epochs: 2\n", books=", max_repeats: 4")
    config = tokens_config(recipe, find_scale("5m"))
    assert config.phases == (Phase(share=9, weights=(3, 1)), Phase(share=1, weights=(0, 1)))
    assert config.source_repeats == (2.0, 4.0)
    assert config.num_tokens == find_scale("5m").trained_tokens
    assert config.repeats == recipe.repeats
    assert repeats_declared(recipe) == [
        "up to 4 passes over the tokens",
        "documents repeated up to 4 times by cluster_size: several passes over the tokens",
    ]
    line = mixture_line(recipe)
    assert line is not None
    assert line.startswith("90%: web 0.75, books 0.25; 10%: books 1; up to 4 passes")


def test_weights_and_temperature_reach_the_tokens(tmp_path: Path) -> None:
    weighted = load(tmp_path, "weights_by: documents\n", web=", weight: 3", books=", weight: 1")
    config = tokens_config(weighted, find_scale("5m"))
    assert (config.weights, config.weights_by, config.max_repeats) == ((3.0, 1.0), "documents", 1.0)
    assert mixture_line(weighted) == "web 0.75, books 0.25 of the documents"
    config = tokens_config(load(tmp_path, "temperature: 2\nepochs: 3\n"), find_scale("5m"))
    assert (config.temperature, config.max_repeats, config.source_repeats) == (2.0, 3.0, None)


def test_a_recipe_without_a_mixture_reads_all_of_everything(tmp_path: Path) -> None:
    recipe = load(tmp_path)
    config = tokens_config(recipe, find_scale("5m"))
    assert not config.is_mixture
    assert config.num_tokens is None
    assert mixture_line(recipe) is None
    assert repeats_declared(recipe) == []


@pytest.mark.parametrize(
    ("more", "web", "message"),
    [
        (PHASES + "temperature: 2\n", "", "either weights, a temperature or phases"),
        ("phases: [{share: 1, weights: {wb: 1}}]\n", "", "phases name wb, allowed: web, books"),
        ("", ", max_repeats: 2", "needs weights, a temperature or phases"),
        ("repeats: {column: x, function: steps, cap: 2}\n", "", "the function steps needs `steps`"),
        ("repeats: {column: x, cap: 5000}\n", "", "cap"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, more: str, web: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, more, web=web)
