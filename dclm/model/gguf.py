"""A quantized GGUF file as a Hugging Face directory: `gguf:smollm2-135m` becomes `hf:…` in the cache."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from dclm.assets.cache import cache_root, lock
from dclm.core.errors import DataError
from dclm.core.storage import atomic_directory, sha256_file

GGUF = "gguf:"
"""What the name of such a model begins with."""


def cached_huggingface(gguf: Path) -> Path:
    """The Hugging Face directory that `gguf` is converted to, once for all processes that share the cache.

    Raises: DataError if transformers cannot read the file.
    """
    identity = sha256_file(gguf)[:16]
    with lock(f"gguf-{identity}"):
        return huggingface_from_gguf(gguf, cache_root() / "models" / identity)


def huggingface_from_gguf(gguf: Path, out: Path) -> Path:
    """Write the model and tokenizer of `gguf` to `out` in Hugging Face format, and return `out`.

    Weights are de-quantized and kept in bfloat16, as the reference's conformance scores were made. What is at `out`
    already is used again.
    Raises: DataError if transformers cannot read the file.
    """
    if (out / "config.json").is_file():
        return out
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()
    try:
        found = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(str(gguf), f"transformers cannot load it: {error}", "it needs gguf and accelerate") from error
    config = copy.deepcopy(found.config)
    del config.quantization_config  # de-quantized weights are saved as an ordinary model
    model = type(found)(config).bfloat16()
    model.load_state_dict(found.state_dict())
    with atomic_directory(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return out
