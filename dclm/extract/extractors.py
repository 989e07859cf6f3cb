"""The extractors that ship, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Literal, get_args

ExtractorName = Literal["resiliparse", "trafilatura", "trafilatura_precise", "justext"]
NAMES: tuple[ExtractorName, ...] = get_args(ExtractorName)
DISTRIBUTIONS: dict[ExtractorName, str] = {
    "resiliparse": "resiliparse", "trafilatura": "trafilatura", "trafilatura_precise": "trafilatura",
    "justext": "justext",
}  # fmt: skip
"""The package of each extractor. Its version decides the texts: Resiliparse 2.0 gives different ones from 1.1 on most
pages."""
ExtractFunction = Callable[[str], str]


def load_extractor(name: str) -> ExtractFunction:
    """`extract(html) -> text` of the extractor's module, which is imported only now."""
    assert name in NAMES
    function: ExtractFunction = importlib.import_module(f"dclm.extract.{name}").extract
    return function
