"""Everything that determines the bytes of a tokens artifact, except its inputs."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Literal

from dclm.tokens.pack import Packing
from dclm.tokens.repeats import DocumentRepeats


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of training with its own mixture."""

    share: float
    """Share of the training tokens, relative to the other phases'."""
    weights: tuple[float, ...]
    """Weight of each source, in order; 0: not read in this phase."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", float(self.share))
        object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        if not 0 < self.share < math.inf:
            raise ValueError(f"found a phase with the share {self.share}, allowed: a positive number")


@dataclass(frozen=True, kw_only=True)
class TokenizeConfig:
    """Everything that determines the bytes of a tokens artifact, except its inputs."""

    seq_len: int = 2048
    """Context length; rows have one more token."""
    seed: int = 0
    packing: Packing = "stream"
    """`stream`: no token is lost, at most one padded row per source. `dclm`: the last row of each file is padded, as in
    open_lm's Ray script (its Rust one also adds a row of only padding to a file that fills its rows exactly)."""
    weights: tuple[float, ...] | None = None
    """Mixture weights of the sources, in order; None: all of everything."""
    num_tokens: int | None = None
    """Number of tokens to train on (`seq_len` per row), rounded up to whole rows; None: all."""
    max_repeats: float = 1.0
    """Maximum number of passes over a source."""
    source_repeats: tuple[float, ...] | None = None
    """Maximum number of passes over each source, in order; None: `max_repeats` for all."""
    weights_by: Literal["tokens", "documents"] = "tokens"
    """Whether weights and temperature state shares of the tokens, or of the documents."""
    temperature: float | None = None
    """Instead of weights: a source's share is in proportion to its size to the power 1/temperature. If a source runs
    out within its passes, the rest is taken from the others."""
    phases: tuple[Phase, ...] = ()
    """Instead of weights: a curriculum, one mixture after the other."""
    repeats: DocumentRepeats | None = None
    """How often each document is read; None: all equally often."""
    rows_per_shard: int = 8192
    """Number of rows in each file except the last; open_lm writes 8,192."""
    bos: bool | None = None
    """Whether a token begins each document. None: as in the tokenizer's post-processor; GPT-NeoX's has none."""
    eot: str | None = None
    """Token that ends a document; None: the tokenizer's `<|endoftext|>` or its equivalent."""

    def __post_init__(self) -> None:
        if self.seq_len < 1 or self.rows_per_shard < 1:
            raise ValueError(f"found seq_len {self.seq_len}, rows_per_shard {self.rows_per_shard}, allowed: ≥ 1")
        if (self.weights is not None) + (self.temperature is not None) + bool(self.phases) > 1:
            raise ValueError("give either weights, a temperature or phases")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ValueError(f"found the temperature {self.temperature}, allowed: a positive number")
        if self.num_tokens is None and (self.temperature is not None or self.phases):
            raise ValueError("phases and a temperature need the number of training tokens (num_tokens)")
        if self.repeats is not None and self.packing == "dclm":
            raise ValueError("packing dclm cannot repeat documents; choose packing stream")
        object.__setattr__(self, "max_repeats", float(self.max_repeats))  # 1 and 1.0 are one configuration
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        if self.source_repeats is not None:
            object.__setattr__(self, "source_repeats", tuple(map(float, self.source_repeats)))

    @property
    def is_mixture(self) -> bool:
        """Whether shares of the sources are stated; they then apply in every part of the order."""
        return self.weights is not None or self.temperature is not None or bool(self.phases)

    def mixture(self) -> dict[str, object]:
        """How much of each source is read, for a record."""
        names = ("weights", "num_tokens", "max_repeats", "source_repeats", "weights_by", "temperature", "phases")
        found = json.loads(json.dumps(dataclasses.asdict(self)))
        return {name: found[name] for name in (*names, "repeats")}
