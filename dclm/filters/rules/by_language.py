"""Limits of a rule that depend on the language."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.arrow import to_list
from dclm.core.errors import ConfigError

LimitsByLanguage = Mapping[str, Mapping[str, float]]
"""Language → name of a limit → its value for documents in that language."""


def check_limits(by_language: LimitsByLanguage, allowed: tuple[str, ...]) -> None:
    """Raises: ValueError if the step has no limit of that name."""
    for language, limits in by_language.items():
        for name, value in limits.items():
            if name not in allowed:
                raise ValueError(f"`by_language` has `{name}` for {language}, allowed: {', '.join(allowed)}")
            if value < 0:
                raise ValueError(f"`by_language` has {name} = {value:g} for {language}, allowed: 0 and above")


def check_column(batch: pa.RecordBatch, step: str) -> None:
    """Raises: ConfigError if no earlier step has identified the documents' languages."""
    if "language" not in batch.schema.names:
        hint = "put `language`, `heliport` or `langdetect` before it"
        raise ConfigError(f"step {step}", "no column `language`, which `by_language` needs", hint)


def limit(batch: pa.RecordBatch, by_language: LimitsByLanguage, name: str, value: float) -> float | NDArray[np.float64]:
    """The limit of each document, or one limit for all. A document of unknown language has the general one."""
    own = {language: limits[name] for language, limits in by_language.items() if name in limits}
    if not own:
        return value
    encoded = batch.column("language").dictionary_encode()
    values = np.array([*(own.get(code, value) for code in to_list(encoded.dictionary)), value], np.float64)
    places = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    found: NDArray[np.float64] = values[places.astype(np.int64)]
    return found
