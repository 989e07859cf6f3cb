"""Checks the directory of a foreign model before `transformers` reads it: nothing in it may run, hang or fill
memory."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from dclm.core.errors import DataError

LOADING_FAULTS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, ImportError, AssertionError,
    ZeroDivisionError, OverflowError, MemoryError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
"""Exceptions of `transformers` for files that are damaged or forged."""
_COUNTS = ("layer", "block", "expert")
_MAX_COUNT = 10_000
"""Maximum number of layers or experts of a model whose tensors cannot be counted beforehand."""
_MAX_WIDTH = 1 << 20
_MAX_NUMBER = 1 << 31
_SPARE_LAYERS = 1024
"""Allowed excess of layers or experts over the number of tensors: one tensor may contain many of them."""
_PACKED = 16
"""Maximum number of values in one entry of a quantized tensor."""
_WIDTHS = (
    "hidden_size", "intermediate_size", "n_embd", "n_inner", "d_model", "d_ff", "d_inner", "ffn_dim",
    "ffn_hidden_size", "moe_intermediate_size", "shared_expert_intermediate_size", "vocab_size", "head_dim",
    "num_attention_heads", "num_key_value_heads", "n_head", "num_heads", "embedding_length", "feed_forward_length",
)  # fmt: skip
"""Entries of a config that must match some tensor's dimension."""


class Room(NamedTuple):
    """Upper limits on the model size that a config may state."""

    layers: int
    width: int


def require_harmless(directory: Path) -> None:
    """Compare the directory's config.json with its weights.

    Raises: DataError if it is missing or not JSON, states more layers or experts than the weights can contain, or names
    code to be downloaded.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what = f"no readable config.json: {error}"
        raise DataError(f"hf:{directory}", what, "hf: takes a local directory in Hugging Face format") from None
    if not isinstance(config, dict):
        raise DataError(str(path), "found a value that is not an object, allowed: a config of `transformers`")
    room = _room(directory)
    for name, value in _entries(config):
        if name.endswith("_implementation") and "/" in str(value):
            raise DataError(str(path), f"`{name}` names code to be downloaded: {str(value)[:100]}", f"remove `{name}`")
        require_room(str(path), name, value, room)


def require_room(where: str, name: str, value: object, room: Room) -> None:
    """Raises: DataError if the entry of a config asks for more layers or width than the weights have."""
    if not isinstance(value, int):
        return
    limit = _MAX_NUMBER
    if name in _WIDTHS:
        limit = room.width
    elif any(word in name for word in _COUNTS) and "size" not in name:
        limit = room.layers
    if abs(value) > limit:
        what = f"`{name}` is {value:,}, but the weights allow at most {limit:,}"
        raise DataError(where, what, "is it the file of another model?")


def _entries(config: object, name: str = "") -> Iterator[tuple[str, object]]:
    """All names and plain values, at any depth."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _entries(value, str(key))
    elif isinstance(config, list):
        for value in config:
            yield from _entries(value, "")
    else:
        yield name, config


def _room(directory: Path) -> Room:
    """The limits that follow from the tensors of the safetensors files, if there are any."""
    shapes: list[list[int]] = []
    for file in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as opened:
                shapes += [list(opened.get_slice(name).get_shape()) for name in opened.keys()]  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(str(file), f"corrupt: {first_line(error)}", "copy the file again") from None
    return room_for(shapes) if shapes else Room(layers=_MAX_COUNT, width=_MAX_WIDTH)


def room_for(shapes: Sequence[Sequence[int]]) -> Room:
    """The limits for a model with these tensors: no more layers than tensors and no width beyond theirs, plus some
    margin."""
    widest = max((size for shape in shapes for size in shape), default=1)
    return Room(layers=min(_MAX_COUNT, len(shapes) + _SPARE_LAYERS), width=max(_PACKED * widest, _SPARE_LAYERS))


def first_line(error: BaseException) -> str:
    """The first line of an error message, at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
