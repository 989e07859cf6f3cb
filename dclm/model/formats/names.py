"""Converts the names that people use for a model to the form that `load_model` and `dclm evaluate` accept."""

from __future__ import annotations

import json
from pathlib import Path

from dclm.core.errors import DataError
from dclm.core.record import RECORD
from dclm.core.storage import is_local
from dclm.core.stores.hub import HUB, is_hub_name, snapshot
from dclm.core.stores.store import exists, join

GGUF = "gguf:"
_TRAIN = "train"


def find_model(name: str) -> str:
    """The model's name in the form that determines how it is read; paths of checkpoints and open_lm's files are
    unchanged.

        hf:ORG/NAME, ORG/NAME    → hf:DIRECTORY, the snapshot in the local cache; nothing is downloaded
        a directory              → hf:DIRECTORY if its config.json is one of `transformers`
        FILE.gguf                → gguf:FILE
        the directory of a run   → its DIRECTORY/train

    An existing path takes precedence over a name on the Hub. Raises: DataError for a name of the Hub that is not in the
    local cache.
    """
    if name.startswith(HUB):
        rest = name.removeprefix(HUB)
        return name if Path(rest).exists() or not is_hub_name(rest) else f"{HUB}{snapshot(rest, 'model')}"
    if ":" in name.partition("/")[0]:  # a URL, gguf: or lm-eval:
        return _of_run(name) if "://" in name else name
    path = Path(name)
    if path.is_dir():
        return f"{HUB}{name}" if _is_transformers(path) else _of_run(name)
    if name.lower().endswith(".gguf"):
        return f"{GGUF}{name}"
    if path.exists() or not is_hub_name(name):
        return name
    try:
        return f"{HUB}{snapshot(name, 'model')}"
    except DataError as error:
        where, what, hint = error.problems[0]
        raise DataError(where.removeprefix(HUB), what, hint) from None


def _of_run(address: str) -> str:
    """The training run in `address`, if that is the directory of a run."""
    if exists(join(address, RECORD)) or not exists(join(address, _TRAIN, RECORD)):
        return address
    return join(address, _TRAIN) if is_local(address) else f"{address.rstrip('/')}/{_TRAIN}"


def _is_transformers(directory: Path) -> bool:
    """Whether a directory contains a model of `transformers`: its config names a `model_type`, unlike ours."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config
