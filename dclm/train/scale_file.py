"""A scale declared by a user in a YAML file: any shape, any budget; it leaves the benchmark, as its results state."""

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
    """`model` of a scale file, with the same fields as open_lm's model configuration."""

    hidden_dim: Positive
    num_layers: Positive
    num_heads: Positive
    seq_len: Positive = 2048
    vocab_size: Positive = 50_432


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeclaredScale:
    """A scale file. Rates default to the values of DCLM's scales up to 3 B."""

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

    Raises: ConfigError with every error in the file, or for the name of an existing scale.
    """
    source = load_yaml(path)
    found = build(DeclaredScale, source)
    if found.name in SCALES:
        what = f"found the name {found.name}, which belongs to a scale of the benchmark"
        raise ConfigError(f"{path}: name", what, "choose another name for the declared scale")
    try:
        model = ModelConfig(**dataclasses.asdict(found.model))
    except ValueError as error:
        raise ConfigError(f"{path}: model", str(error)) from None
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name != "model"}
    scale = Scale(**fields, model=model, standard=False)
    if scale.num_steps < 1:
        raise ConfigError(f"{path}: tokens", f"found {scale.tokens:,}, which are less than one update")
    return scale


def open_scale(name: str) -> Scale:
    """The scale with that name, or in a file whose name ends in .yaml."""
    return read_scale(Path(name)) if name.endswith(ENDINGS) else find_scale(name)
