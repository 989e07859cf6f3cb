"""The names of language models in pipelines, and the files that they refer to."""

from __future__ import annotations

from pathlib import Path

from dclm.curate.step import Context

GGUF = "gguf:"
HUGGING_FACE = "hf:"
_RUN = "checkpoints"  # the directory of a training run that contains its checkpoints


def model_file(model: str) -> str:
    """The asset or path that identifies the model: the name without its prefix, or a training run's last checkpoint."""
    for prefix in (GGUF, HUGGING_FACE):
        if model.startswith(prefix):
            return model[len(prefix) :]
    if (Path(model) / _RUN).is_dir():
        from dclm.model.load import find_checkpoint

        return str(find_checkpoint(model))
    return model


def model_path(model: str, context: Context) -> str:
    """The argument for `dclm.model.load.load_model` for a model that a step has named in its assets.

    Raises: DataError if a GGUF file cannot be converted.
    """
    path = context.file(model_file(model))
    if model.startswith(GGUF):
        from dclm.model.formats.gguf import cached_huggingface

        return HUGGING_FACE + str(cached_huggingface(path))
    return HUGGING_FACE + str(path) if model.startswith(HUGGING_FACE) else str(path)
