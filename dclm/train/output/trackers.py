"""Metrics in addition to the run's own files, for TensorBoard or Weights & Biases."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from dclm.core.errors import ConfigError

TrackerName = Literal["tensorboard", "wandb"]
"""Also the name of the folder under the run's directory where each keeps its files, and of the package it needs."""
TRACKERS: tuple[TrackerName, ...] = ("tensorboard", "wandb")
PROJECT = "dclm"


class Tracker(Protocol):
    """A destination for metrics."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of update `step`, by name."""


def require_trackers(names: Sequence[TrackerName]) -> None:
    """Raises: ConfigError if a tracker's package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"track: {name}", f"the package {name} is not installed", "pip install 'dclm[track]'")


@contextmanager
def open_trackers(
    names: Sequence[TrackerName], out: Path, *, run: str, identity: str, config: Mapping[str, object], step: int
) -> Iterator[tuple[Tracker, ...]]:
    """Trackers for the run named `run` in `out`, which continues after update `step`; closed at the end of the block.

    `identity` is the run's fingerprint: a resumed run continues the same Weights & Biases run. Raises: ConfigError if
    Weights & Biases denies access.
    """
    with ExitStack() as stack:
        trackers: list[Tracker] = []
        if "tensorboard" in names:
            trackers.append(_TensorBoard(stack, out / "tensorboard", step))
        if "wandb" in names:
            trackers.append(_WeightsAndBiases(stack, out, run, identity, config))
        yield tuple(trackers)


class _TensorBoard:
    """Event files, through torch.utils.tensorboard; anything written for updates after `step` is superseded."""

    def __init__(self, stack: ExitStack, folder: Path, step: int) -> None:
        module: Any = importlib.import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(log_dir=str(folder), purge_step=step + 1)
        stack.callback(self._writer.close)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)


class _WeightsAndBiases:
    """A run in the project WANDB_PROJECT or `dclm`; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, stack: ExitStack, out: Path, run: str, identity: str, config: Mapping[str, object]) -> None:
        wandb: Any = importlib.import_module("wandb")
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run,
                id=identity[:16],
                resume="allow",
                dir=str(out),
                config=dict(config),
                settings=wandb.Settings(silent=True),
            )
        except wandb.errors.Error as error:
            hint = "run `wandb login`, or set WANDB_MODE=offline"
            raise ConfigError("track: wandb", str(error).splitlines()[0], hint) from error
        stack.callback(self._run.finish)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)
