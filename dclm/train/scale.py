"""The fixed experiments: a model shape with every training hyper-parameter, by name. To add a scale, add an entry."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction
from types import MappingProxyType

from dclm.core.config import suggest
from dclm.core.errors import ConfigError
from dclm.model.config import ModelConfig

CHINCHILLA = 20  # training tokens per parameter: training/configs/*.json, Hoffmann et al. 2022
VOCABULARY_STEP = 128  # 50,432 is GPT-NeoX-20B's vocabulary rounded up to a multiple of it
REFERENCE_CHECKPOINTS = 5  # the reference trains in 5 "epochs" and first cuts its tokens to whole ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """A model and how it is trained. Settings that are not here are the same for all: see `dclm.train.optim`."""

    name: str
    model: ModelConfig
    tokens: int
    """Training tokens before they are cut to whole batches."""
    batch_sequences: int
    """Number of sequences per update, over all ranks."""
    warmup_steps: int
    """Number of updates over which the learning rate rises linearly."""
    learning_rate: float
    """Peak learning rate."""
    final_learning_rate: float = 3e-5
    """Final learning rate of the cosine."""
    weight_decay: float = 0.033
    """Applied to all parameters, including gains and embeddings."""
    z_loss: float = 1e-4
    """Weight of mean logsumexp² in the loss."""
    micro_batch_sequences: int
    """Maximum number of sequences in one forward pass on one rank. Bounds memory; results differ only by rounding."""
    standard: bool = False
    """Whether this is the named experiment itself, not one made by hand or with another token budget."""

    @property
    def num_steps(self) -> int:
        """Number of updates, with the reference's rounding: tokens to whole fifths, to whole sequences, to whole
        batches."""
        fifth = self.tokens // REFERENCE_CHECKPOINTS // self.model.seq_len
        return fifth * REFERENCE_CHECKPOINTS // self.batch_sequences

    @property
    def num_sequences(self) -> int:
        """Number of sequences that the updates read."""
        return self.num_steps * self.batch_sequences

    @property
    def trained_tokens(self) -> int:
        """Number of tokens that the updates read."""
        return self.num_sequences * self.model.seq_len

    @property
    def flops_6nd(self) -> int:
        """Training FLOPs as stated by DCLM: 6 · parameters · tokens."""
        return 6 * self.model.published_parameters * self.trained_tokens

    @property
    def flops(self) -> int:
        """Training FLOPs counted product by product, including attention (`ModelConfig.flops_per_token`)."""
        return self.model.flops_per_token * self.trained_tokens


def _chinchilla(name: str, model: ModelConfig, *, batch: int, warmup: int, micro: int) -> Scale:
    """A scale with 20 tokens per parameter and the rates of DCLM's scales up to 3 B."""
    return Scale(
        name=name,
        model=model,
        tokens=CHINCHILLA * model.published_parameters,
        batch_sequences=batch,
        warmup_steps=warmup,
        learning_rate=3e-3,
        micro_batch_sequences=micro,
    )


def _bytes(name: str, width: int, layers: int) -> Scale:
    """A scale for tokens that are bytes (recipes/experiments/bytes.json): minutes on one core."""
    model = ModelConfig(hidden_dim=width, num_layers=layers, num_heads=width // 32, seq_len=256, vocab_size=257)
    scale = _chinchilla(name, model, batch=16, warmup=50, micro=16)
    return dataclasses.replace(scale, learning_rate=1e-2, final_learning_rate=1e-4)


def _double(scale: Scale, name: str) -> Scale:
    """The same with twice the tokens."""
    return dataclasses.replace(scale, name=name, tokens=2 * scale.tokens)


_TINY = Scale(
    name="tiny",
    model=ModelConfig(hidden_dim=32, num_layers=2, num_heads=2, seq_len=256),
    tokens=500_000,  # about a minute on two cores
    batch_sequences=16,
    warmup_steps=20,
    learning_rate=1e-2,
    final_learning_rate=1e-4,
    micro_batch_sequences=16,
)
_7B_1X = dataclasses.replace(
    _chinchilla("7b_1x", ModelConfig(hidden_dim=4096, num_layers=32, num_heads=32), batch=2048, warmup=5000, micro=4),
    learning_rate=2e-3,
    weight_decay=0.05,
    z_loss=5e-6,
)
_ALL = (
    _bytes("bytes-74k", width=32, layers=2),
    _bytes("bytes-230k", width=64, layers=3),
    _bytes("bytes-493k", width=96, layers=4),
    _TINY,
    _chinchilla(
        "5m", ModelConfig(hidden_dim=48, num_layers=4, num_heads=3, seq_len=512), batch=32, warmup=200, micro=8
    ),
    _chinchilla(
        "12m", ModelConfig(hidden_dim=112, num_layers=4, num_heads=7, seq_len=512), batch=32, warmup=400, micro=8
    ),
    _chinchilla("25m", ModelConfig(hidden_dim=192, num_layers=12, num_heads=6), batch=32, warmup=500, micro=8),
    _chinchilla("50m", ModelConfig(hidden_dim=320, num_layers=12, num_heads=5), batch=64, warmup=500, micro=16),
    _chinchilla("85m", ModelConfig(hidden_dim=448, num_layers=16, num_heads=7), batch=128, warmup=500, micro=16),
    _chinchilla("154m", ModelConfig(hidden_dim=576, num_layers=24, num_heads=8), batch=256, warmup=1000, micro=16),
    # The published scales, training/configs/*.json. 3b has heads of width 80, though table 10 of the paper says 128.
    _chinchilla("411m_1x", ModelConfig(hidden_dim=1024, num_layers=24, num_heads=8), batch=512, warmup=2000, micro=16),
    _chinchilla("1b_1x", ModelConfig(hidden_dim=2048, num_layers=24, num_heads=16), batch=256, warmup=5000, micro=8),
    _chinchilla("3b_1x", ModelConfig(hidden_dim=2560, num_layers=32, num_heads=32), batch=256, warmup=5000, micro=8),
    _7B_1X,
    _double(_7B_1X, "7b_2x"),
)
_MULTIPLE = re.compile(r"\d+(\.\d+)?")
SCALES = MappingProxyType({scale.name: dataclasses.replace(scale, standard=True) for scale in _ALL})
"""Name → scale, from small to large."""


def find_scale(name: str) -> Scale:
    """The scale named `name`, or `NAME_2x`, `NAME_0.5x`, …: with that multiple of its Chinchilla tokens.

    Raises: ConfigError naming all scales.
    """
    if name in SCALES:
        return SCALES[name]
    base, _, times = name.removesuffix("x").rpartition("_")
    scale = SCALES.get(base) or SCALES.get(f"{base}_1x")
    if scale is None or scale.name == _TINY.name or not _MULTIPLE.fullmatch(times) or Fraction(times) in (0, 1):
        what = f"allowed: {', '.join(SCALES)}, and multiples of their tokens such as 25m_2x"
        raise ConfigError(f"scale {name}", what, suggest(name, list(SCALES)))
    tokens = int(Fraction(times) * scale.tokens)
    multiple = with_tokens(scale, tokens) if tokens < scale.tokens else dataclasses.replace(scale, tokens=tokens)
    return dataclasses.replace(multiple, name=name, standard=True)


def checked_standard(scale: Scale) -> Scale:
    """`scale`, with `standard` only if it equals the experiment of that name in everything that affects the result."""
    try:
        named = find_scale(scale.name)
    except ConfigError:
        return dataclasses.replace(scale, standard=False)
    same = dataclasses.replace(named, micro_batch_sequences=scale.micro_batch_sequences)
    is_standard = same == dataclasses.replace(scale, standard=True)
    return dataclasses.replace(scale, standard=scale.standard and is_standard)


def with_tokens(scale: Scale, tokens: int | None) -> Scale:
    """`scale` with another token budget (None: unchanged), which leaves the benchmark: `standard` becomes false.

    A warm-up longer than a tenth of the updates is shortened to that. Raises: ConfigError if fewer than one update is
    left.
    """
    if tokens is None or tokens == scale.tokens:
        return scale
    changed = dataclasses.replace(scale, tokens=tokens, standard=False)
    if changed.num_steps < 1:
        least = REFERENCE_CHECKPOINTS * scale.model.seq_len * scale.batch_sequences
        raise ConfigError(f"scale {scale.name}", f"found {tokens:,} tokens, allowed: {least:,} or more")
    return dataclasses.replace(changed, warmup_steps=min(scale.warmup_steps, max(1, changed.num_steps // 10)))


def with_weight_decay(scale: Scale, weight_decay: float | None) -> Scale:
    """`scale` with another weight decay (None: unchanged), which leaves the benchmark: `standard` becomes false.

    Raises: ConfigError for a negative number.
    """
    if weight_decay is None or weight_decay == scale.weight_decay:
        return scale
    if not 0 <= weight_decay < float("inf"):
        raise ConfigError("weight decay", f"found {weight_decay}, allowed: a number ≥ 0")
    return dataclasses.replace(scale, weight_decay=weight_decay, standard=False)


def with_vocabulary(scale: Scale, vocab_size: int) -> Scale:
    """`scale` with an embedding for this many ids, a multiple of 128 rows, if its own has too few.

    That leaves the benchmark: `standard` becomes false. The training tokens stay those of the scale.
    """
    if vocab_size <= scale.model.vocab_size:
        return scale
    rows = -(-vocab_size // VOCABULARY_STEP) * VOCABULARY_STEP
    return dataclasses.replace(scale, model=dataclasses.replace(scale.model, vocab_size=rows), standard=False)
