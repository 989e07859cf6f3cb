"""A scale that a user declares in a YAML file: any shape, any budget; it leaves the benchmark, and says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dclm.core.config import Positive, build, load_yaml
from dclm.core.errors import ConfigError
from dclm.core.names import Name
from dclm.model.config import ModelConfig
from dclm.train.scale import SCALES, Scale, find_scale

ENDINGS = (".yaml", ".yml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeclaredShape:
    """`model` of a scale file; the same fields as open_lm's model configuration has."""

    hidden_dim: Positive
    num_layers: Positive
    num_heads: Positive
    seq_len: Positive = 2048
    vocab_size: Positive = 50_432


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeclaredScale:
    """A scale file. Rates have the values of DCLM's scales up to 3 B where they are not given."""

    name: Name
    model: DeclaredShape
    tokens: Positive
    batch_sequences: Positive
    warmup_steps: Positive
    learning_rate: float
    final_learning_rate: float = 3e-5
    weight_decay: float = 0.033
    z_loss: float = 1e-4
    micro_batch_sequences: Positive = 8


def read_scale(path: Path) -> Scale:
    """The scale that a file declares, never a standard one.

    Raises: ConfigError with everything that is wrong with it, or for the name of a scale that exists.
    """
    source = load_yaml(path)
    found = build(DeclaredScale, source)
    if found.name in SCALES:
        what = f"found the name {found.name}, which is that of a scale of the benchmark"
        raise ConfigError(f"{path}: name", what, "give the declared scale another name")
    try:
        model = ModelConfig(**dataclasses.asdict(found.model))
    except ValueError as error:
        raise ConfigError(f"{path}: model", str(error)) from None
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name != "model"}
    scale = Scale(**fields, model=model, standard=False)
    if scale.num_steps < 1:
        raise ConfigError(f"{path}: tokens", f"found {scale.tokens:,}, which are not one update")
    return scale


def open_scale(name: str) -> Scale:
    """The scale of that name, or of a file whose name ends in .yaml."""
    return read_scale(Path(name)) if name.endswith(ENDINGS) else find_scale(name)
