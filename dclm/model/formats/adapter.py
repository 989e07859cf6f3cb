"""Any causal language model of `transformers`, behind the interface that scoring and generation use."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dclm.core.errors import DataError
from dclm.model.formats.foreign import LOADING_FAULTS, first_line, require_harmless
from dclm.model.formats.probe import find_batching
from dclm.model.interface import Batching, Cache

PROBE_TOKENS = 5
WINDOW_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "max_seq_length",
    "seq_length",
    "context_length",
    "max_target_positions",
)
"""Names of the longest window in configurations."""
NO_WINDOW = ("bloom", "falcon_mamba", "mamba", "mamba2", "recurrent_gemma", "rwkv", "xlstm")
"""Kinds of models whose positions are unbounded."""
UNLIMITED = 2048
"""The window used for such a model: the longest that the reference ever uses."""


class HuggingFaceCache:
    """A `transformers` cache of right-padded rows, each with its own length."""

    def __init__(self, layers: Any, valid: Tensor, lengths: Tensor, capacity: int) -> None:
        self.layers = layers
        """`dclm.model.formats.reserved.reserved_cache`"""
        self.valid = valid
        """[B, filled], 1 where the slot holds a real token."""
        self.lengths = lengths
        self.capacity = capacity
        """Number of tokens with reserved room; there may be more."""

    def select(self, rows: Tensor, capacity: int | None = None) -> HuggingFaceCache:
        """A copy that contains the given rows, with room for `capacity` tokens; it grows on demand."""
        from dclm.model.formats.reserved import reserved_cache

        capacity = self.capacity if capacity is None else capacity
        layers = reserved_cache(capacity)
        for index, layer in enumerate(self.layers.layers):
            if layer.is_initialized:
                layers.update(layer.keys[rows], layer.values[rows], index)
        return HuggingFaceCache(layers, self.valid[rows], self.lengths[rows].clone(), capacity)

    def joined(self, others: Sequence[Cache], capacity: int) -> HuggingFaceCache:
        """A copy that contains the rows of this cache and then those of others; it grows on demand."""
        from dclm.model.formats.reserved import reserved_cache

        parts = [self]
        for other in others:
            assert isinstance(other, HuggingFaceCache)
            parts.append(other)
        filled = max(part.valid.shape[1] for part in parts)
        layers = reserved_cache(capacity)
        for index in range(len(self.layers.layers)):
            found = [part.layers.layers[index] for part in parts]
            keys = torch.cat([_padded(layer.keys, 2, filled) for layer in found])
            layers.update(keys, torch.cat([_padded(layer.values, 2, filled) for layer in found]), index)
        valid = torch.cat([_padded(part.valid, 1, filled) for part in parts])
        return HuggingFaceCache(layers, valid, torch.cat([part.lengths for part in parts]), capacity)


def _padded(x: Tensor, dim: int, length: int) -> Tensor:
    """`x` padded with zeros at the end, so that dimension `dim` has `length`."""
    shape = [*x.shape[:dim], length - x.shape[dim], *x.shape[dim + 1 :]]
    return torch.cat((x, x.new_zeros(shape)), dim=dim)


class HuggingFaceModel(nn.Module):
    """`transformers.AutoModelForCausalLM` with hidden states and head separated.

    If the model does more to its hidden states than multiply them by a matrix (scaling, soft caps), the "hidden states"
    are already logits, and the head returns them unchanged.
    """

    def __init__(self, model: Any, window: int | None = None) -> None:
        """`window` overrides the configuration's. Raises: DataError if neither gives one."""
        super().__init__()
        self.model = model
        self.vocab_size: int = model.config.get_text_config().vocab_size
        self.seq_len = window or _window(model.config)
        self.plain_head = self._head_is_plain()
        body = model.base_model if self.plain_head else model
        self._accepted = frozenset(inspect.signature(body.forward).parameters)
        self.batching: Batching = find_batching(self, model.config, next(model.parameters()).dtype)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def new_cache(self, batch: int, capacity: int) -> HuggingFaceCache:
        """An empty cache for `batch` rows of `capacity` tokens; it grows on demand."""
        from dclm.model.formats.reserved import reserved_cache

        valid = torch.zeros(batch, 0, dtype=torch.long, device=self.device)
        lengths = torch.zeros(batch, dtype=torch.long, device=self.device)
        return HuggingFaceCache(reserved_cache(capacity), valid, lengths, capacity)

    def forward(self, tokens: Tensor, *, cache: Cache | None = None, lengths: Tensor | None = None) -> Tensor:
        """Logits [B, T, V], float32."""
        return self.head(self.forward_hidden(tokens, cache=cache, lengths=lengths))

    def forward_hidden(self, tokens: Tensor, *, cache: Cache | None = None, lengths: Tensor | None = None) -> Tensor:
        """See `dclm.model.interface.LanguageModel`."""
        if cache is None:
            return self._run(input_ids=tokens, use_cache=False)
        assert isinstance(cache, HuggingFaceCache)
        steps = torch.arange(tokens.shape[1], device=self.device)
        nothing_before = cache.valid.shape[1] == 0  # padding is on the right: causal attention never sees it
        real = torch.full_like(cache.lengths, tokens.shape[1]) if lengths is None else lengths
        cache.valid = torch.cat((cache.valid, (steps < real[:, None]).long()), dim=1)
        positions = cache.lengths[:, None] + steps
        cache.lengths = cache.lengths + real
        return self._run(
            input_ids=tokens,
            attention_mask=None if nothing_before else cache.valid,
            position_ids=positions,
            cache=cache.layers,
            use_cache=True,
        )

    def forward_packed(self, tokens: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """See `dclm.model.interface.LanguageModel`."""
        dtype = self.model.dtype  # added to attention's scores: models differ in whether they accept True and False
        mask = torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill_(~seen, torch.finfo(dtype).min)
        return self._run(input_ids=tokens, position_ids=positions, attention_mask=mask[:, None], use_cache=False)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., V], float32."""
        if not self.plain_head:
            return hidden.float()
        logits: Tensor = self.model.get_output_embeddings()(hidden).float()
        return logits

    def _run(self, **inputs: Any) -> Tensor:
        out: Tensor
        if "position_ids" not in self._accepted:
            inputs.pop("position_ids", None)
        if self.plain_head:
            out = self.model.base_model(**inputs).last_hidden_state
        else:
            out = self.model(**inputs).logits
        return out

    def _head_is_plain(self) -> bool:
        head = self.model.get_output_embeddings()
        if head is None:
            return False
        tokens = torch.arange(PROBE_TOKENS, device=self.device)[None]
        with torch.inference_mode():
            logits = self.model(input_ids=tokens, use_cache=False).logits
            hidden = self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
            return hidden.shape[-1] == head.weight.shape[-1] and torch.equal(head(hidden), logits)


def huggingface_window(path: Path, wanted: int | None = None) -> int:
    """The window of the model in the directory `path`: `wanted`, or the longest that its config.json allows.

    Raises: DataError if the directory contains no such model, its window is shorter than `wanted`, or it states none
    and none is wanted.
    """
    import transformers

    _check_directory(path)
    try:
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except LOADING_FAULTS as error:
        raise DataError(f"hf:{path}", f"transformers cannot load it: {first_line(error)}") from error
    stated = _stated_window(config)
    if wanted is not None and stated is not None and wanted > stated:
        raise DataError("window", f"found {wanted}, allowed: at most {stated}, the window of hf:{path}")
    return wanted or stated or _window(config)


def _stated_window(config: Any) -> int | None:
    settings = config.get_text_config()
    sizes = (getattr(settings, name, None) for name in WINDOW_NAMES)
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


def _window(config: Any) -> int:
    settings = config.get_text_config()
    stated = _stated_window(config)
    if stated is not None:
        return stated
    if settings.model_type in NO_WINDOW:
        return UNLIMITED
    what = f"the configuration of this {settings.model_type} model states no window: none of {', '.join(WINDOW_NAMES)}"
    raise DataError("window", what, "pass the maximum length of a text in tokens: --window N")


def _check_directory(path: Path) -> None:
    if not path.is_dir():
        raise DataError(f"hf:{path}", "no such directory", "hf: takes a local directory in Hugging Face format")
    require_harmless(path)


def load_huggingface(
    path: Path, device: torch.device | str, dtype: torch.dtype, window: int | None = None
) -> HuggingFaceModel:
    """The model in the directory `path`; nothing is downloaded and no code in the directory is run.

    window: maximum length of a text in tokens; None: as in the model's configuration. Raises: DataError if it cannot be
    loaded, or its configuration states no window and none is given.
    """
    import transformers

    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()
    _check_directory(path)
    try:
        loader: Any = transformers.AutoModelForCausalLM
        model, report = loader.from_pretrained(
            path, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except LOADING_FAULTS as error:
        raise DataError(f"hf:{path}", f"transformers cannot load it: {first_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers fills them with random numbers
        what = f"{len(missing)} tensors are missing, first: {missing[0]}"
        raise DataError(f"hf:{path}", what, "copy all files of the model")
    return HuggingFaceModel(model.to(device).eval(), window)
