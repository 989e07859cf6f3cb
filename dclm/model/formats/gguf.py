"""A quantized GGUF file as a Hugging Face directory: `gguf:smollm2-135m` becomes `hf:…` in the cache."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from dclm.assets.cache import cache_root, lock
from dclm.core.errors import DataError
from dclm.core.storage import atomic_directory, sha256_file
from dclm.model.formats.foreign import LOADING_FAULTS, first_line, require_room, room_for

GGUF = "gguf:"
"""Prefix of the name of such a model."""


def cached_huggingface(gguf: Path) -> Path:
    """The Hugging Face directory that `gguf` is converted to, once for all processes that share the cache.

    Raises: DataError if transformers cannot read the file.
    """
    identity = sha256_file(gguf)[:16]
    with lock(f"gguf-{identity}"):
        return huggingface_from_gguf(gguf, cache_root() / "models" / identity)


def huggingface_from_gguf(gguf: Path, out: Path) -> Path:
    """Write the model and tokenizer of `gguf` to `out` in Hugging Face format, and return `out`.

    Weights are dequantized and stored in bfloat16, as when the reference's conformance scores were made. Existing
    output at `out` is reused. Raises: DataError if transformers cannot read the file.
    """
    if (out / "config.json").is_file():
        return out
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()
    _require_harmless(gguf)
    try:
        found = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True, trust_remote_code=False
        )
    except LOADING_FAULTS as error:
        what = f"transformers cannot load it: {first_line(error)}"
        raise DataError(str(gguf), what, "it needs gguf and accelerate") from error
    config = copy.deepcopy(found.config)
    del config.quantization_config  # dequantized weights are saved as an ordinary model
    model = type(found)(config).bfloat16()
    model.load_state_dict(found.state_dict())
    with atomic_directory(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return out


def _require_harmless(gguf: Path) -> None:
    """Raises: DataError if the file is not a GGUF file, or states a larger model than its tensors form."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
        room = room_for([[int(size) for size in tensor.shape] for tensor in reader.tensors])
        numbers = {
            name.rpartition(".")[2]: int(field.parts[field.data[0]][0])
            for name, field in reader.fields.items()
            if name.endswith((".block_count", ".expert_count", ".embedding_length", ".feed_forward_length"))
        }
    except LOADING_FAULTS as error:
        raise DataError(str(gguf), f"not a complete GGUF file: {first_line(error)}", "copy the file again") from error
    for name, value in numbers.items():
        require_room(str(gguf), name, value, room)
