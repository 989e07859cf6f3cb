"""Checkpoints of a training run: complete or absent, readable with any number of ranks, and only a few are kept.

One process writes `model.safetensors` and `optimizer.safetensors`. Several write `shards/` together (DCP), and after
the last update also the gathered `model.safetensors`, so that a finished model is one file however it was trained.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import atomic_directory, sha256_file
from dclm.model.load import CHECKPOINTS, STATE, STEP, list_checkpoints
from dclm.model.shards import SHARDS, WEIGHTS, load_shards, write_shards
from dclm.model.transformer import Transformer
from dclm.model.weights import MODEL, read_weights, write_config, write_model
from dclm.train.budget import BYTES_PER_PARAMETER
from dclm.train.distributed.parallel import fill, gather, scatter
from dclm.train.distributed.ranks import Ranks
from dclm.train.output.metrics import METRICS

OPTIMIZER = "optimizer.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """The state of a run."""

    step: int
    """Number of updates done."""
    fingerprint: str
    """Identity of the run: scale, seed, data."""
    precision: str
    threads: int
    world_size: int
    earlier_updates: int = 0
    """Number of updates of earlier runs that the optimizer's moments continue from."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For a checkpoint: path of each of its files → sha256, and that of the run's metrics so far (`metrics.jsonl`)."""
    digest: str = ""
    """sha256 over all of the above; filled in when it is written."""

    @property
    def optimizer_step(self) -> int:
        """Number of updates that the moments have seen, which decides their bias correction."""
        return self.earlier_updates + self.step


def _digest(state: State) -> str:
    fields = dataclasses.asdict(state)
    del fields["digest"]
    if not state.earlier_updates:  # unknown to earlier versions
        del fields["earlier_updates"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def checkpoint_path(out: Path, step: int) -> Path:
    """The path of the checkpoint after `step` updates."""
    return out / CHECKPOINTS / f"{STEP}{step:06d}"


def save_checkpoint(
    out: Path,
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    state: State,
    tokenizer: Path | None,
    ranks: Ranks,
    *,
    last: bool,
) -> Path:
    """Write the checkpoint atomically; all ranks must call it together. `last`: after the run's last update."""
    path, sharded = checkpoint_path(out, state.step), ranks.world_size > 1
    with _directory(path, ranks) as directory:
        if sharded:
            write_shards(directory, _tensors(model, _moments(model, optimizer)))
        weights = _gathered(model, ranks) if last or not sharded else None
        ranks.wait()  # files are hashed when all ranks have written theirs
        own = _hashes(directory) if ranks.keeps_folder and not ranks.is_first else {}
        elsewhere = {name: digest for part in ranks.collect(own) for name, digest in part.items()}
        if not ranks.is_first:
            return path
        if weights is None:
            write_config(directory, model.config, tokenizer)
        else:
            write_model(directory, weights, model.config, tokenizer)
        if not sharded:
            moments = {name: moment.contiguous() for name, moment in _moments(model, optimizer).items()}
            save_file(dict(sorted(moments.items())), directory / OPTIMIZER)
        state = dataclasses.replace(state, files={**elsewhere, **_hashes(directory), **_metrics_hash(out, state.step)})
        state = dataclasses.replace(state, digest=_digest(state))
        text = json.dumps(dataclasses.asdict(state), indent=1, sort_keys=True)
        (directory / STATE).write_text(text + "\n", encoding="utf-8")
    return path


@contextmanager
def _directory(path: Path, ranks: Ranks) -> Iterator[Path]:
    """A directory that is renamed to `path` when all ranks have reached the end of the block; one in each folder."""
    with atomic_directory(path) if ranks.keeps_folder else nullcontext() as made:
        directories = {folder: made for folder, made in ranks.collect((ranks.folder, made)) if made is not None}
        yield directories[ranks.folder]
        ranks.wait()
    ranks.wait()


def _moments(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        for moment in MOMENTS
    }


def _tensors(model: Transformer, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Everything in a sharded checkpoint: the model's own tensors and the moments."""
    return {WEIGHTS + name: tensor for name, tensor in model.state_dict().items()} | dict(moments)


def _gathered(model: Transformer, ranks: Ranks) -> dict[str, Tensor]:
    """The full weights on the first rank; the others hold one tensor at a time."""
    weights = {}
    for name, tensor in model.state_dict().items():
        whole = gather(tensor)
        if ranks.is_first:
            weights[name] = whole
    return weights


def prune_checkpoints(out: Path, keep: int) -> None:
    """Delete all except the last `keep` checkpoints."""
    for path in list_checkpoints(out)[:-keep]:
        shutil.rmtree(path)


def _hashes(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {path.relative_to(directory).as_posix(): sha256_file(path) for path in files}


def _metrics_hash(out: Path, step: int) -> dict[str, str]:
    """sha256 of the first `step` lines of the run's metrics, one per update; empty if the run has no metrics."""
    path = out / METRICS
    if not path.exists():
        return {}
    with path.open("rb") as lines:
        digest = hashlib.sha256(b"".join(itertools.islice(lines, step)))
    return {METRICS: digest.hexdigest()}


def read_state(path: Path, *, verify: bool = True) -> State:
    """The state of the run that wrote a checkpoint; with `verify`, first compares each of its files with its hash.

    Raises: DataError if a file is missing, foreign, or changed.
    """
    hint = f"delete {path} to continue from the previous checkpoint"
    try:
        state = State(**json.loads((path / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(str(path / STATE), f"cannot be read: {error}", hint) from error
    if not state.digest:  # a checkpoint of an earlier version
        return state
    if state.digest != _digest(state) or path.name != checkpoint_path(Path(), state.step).name:
        raise DataError(str(path / STATE), "was changed after it was written", hint)
    if not verify:
        return state
    found = {**_hashes(path), **_metrics_hash(path.parent.parent, state.step)}
    for name, digest in state.files.items():
        if found.get(name) != digest:
            where = path.parent.parent / name if name == METRICS else path / name
            what = f"sha256 {found[name][:12]}…" if name in found else "no such file"
            raise DataError(str(where), f"found {what}, allowed: {digest[:12]}…, as recorded in the checkpoint", hint)
    return state


def load_checkpoint(path: Path, model: Transformer, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Fill model and optimizer from the checkpoint `path`, written after `step` updates by any number of ranks.

    Raises: DataError if a file is missing or corrupt.
    """
    for parameter in model.parameters():
        state: dict[str, Tensor] = {"step": torch.tensor(float(step), device=parameter.device)}
        optimizer.state[parameter] = state | {moment: torch.zeros_like(parameter) for moment in MOMENTS}
    moments = _moments(model, optimizer)
    if (path / SHARDS).exists():
        load_shards(path, _tensors(model, moments))
        return
    weights, stored = read_weights(path / MODEL), read_weights(path / OPTIMIZER)
    fill(model, lambda name, _: weights[name])
    model.rotary.inv_freq.copy_(weights["rotary.inv_freq"])
    for name, moment in moments.items():
        moment.copy_(scatter(stored.pop(name), moment))


def require_fresh(where: str, unfinished: str | None, resume: bool, force: bool = False) -> None:
    """`unfinished`: the last checkpoint of a run that is there and not finished.

    Raises: ConfigError if there is one, and neither resuming nor replacing it was requested.
    """
    if unfinished is not None and not (resume or force):
        hint = "continue it with --resume, or choose another --out"
        raise ConfigError(where, f"contains an unfinished run, at {unfinished}", hint)


def require_space(out: Path, parameters: int, keep: int) -> None:
    """Raises: DataError if the disk has no room for the kept checkpoints (those not yet written) and one more."""
    missing = max(1, keep + 1 - len(list_checkpoints(out)))
    needed = BYTES_PER_PARAMETER * parameters * missing
    free = shutil.disk_usage(out).free
    if free < needed:
        what = f"{free / 1e9:.2f} GB are free, needed for {missing} checkpoints: {needed / 1e9:.2f} GB"
        raise DataError(str(out), what, "choose another --out, or keep fewer checkpoints")
