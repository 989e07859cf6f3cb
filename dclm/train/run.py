"""The training stage: a tokens artifact and a scale in, a checkpoint artifact out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dclm.assets import resolve
from dclm.errors import AssetError, ConfigError, DataError
from dclm.model.init import initial_weight
from dclm.model.load import list_checkpoints
from dclm.model.weights import MODEL, TOKENIZER, read_weights
from dclm.progress import Progress, Silent
from dclm.record import Record, find_record, fingerprint, provenance, read_record, write_record
from dclm.storage import remove_temporary
from dclm.tokens.dataset import TokenDataset
from dclm.train.checkpoint import (
    State,
    load_optimizer,
    prune_checkpoints,
    read_state,
    require_fresh,
    require_space,
    save_checkpoint,
)
from dclm.train.data import Order, check_data, check_shape
from dclm.train.loop import Trainer, validation_loss
from dclm.train.metrics import open_metrics
from dclm.train.optim import make_optimizer
from dclm.train.options import DTYPES, TrainOptions, choose_precision
from dclm.train.parallel import build_model
from dclm.train.ranks import Ranks, join
from dclm.train.report import Plan, report
from dclm.train.scale import Scale, find_scale, with_tokens

VERSION = 1
"""Of training as a whole: changes when the same input would give another model."""


def train(
    tokens: Path,
    out: Path,
    *,
    scale: Scale | str,
    seed: int,
    options: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Record:
    """Train one model in this process, or as one of the ranks that torchrun or Ray Train started.

    Writes `metrics.jsonl` (the same bytes for the same run on a CPU), `timings.jsonl`, `checkpoints/step-NNNNNN/`,
    `loss.svg` and, last, `record.json`. A finished run with the same fingerprint is returned as it is.
    Raises: ConfigError and DataError before anything starts or when it happens: too few or corrupt tokens, sequences
    of another length, an unfinished run in `out` without `resume`, a full disk, no memory, a loss that is not finite.
    """
    options = options or TrainOptions()
    chosen = with_tokens(find_scale(scale) if isinstance(scale, str) else scale, options.num_tokens)
    with join(options.device) as ranks, _out_of_memory_explained(chosen):
        return _Run(tokens, out, chosen, seed, options, ranks).execute(progress or Silent())


@contextmanager
def _out_of_memory_explained(scale: Scale) -> Iterator[None]:
    hint = "train on more ranks (--nproc), or pass --checkpoint-activations"
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DataError(f"scale {scale.name}", f"out of GPU memory: {str(error).splitlines()[0]}", hint) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise DataError(f"scale {scale.name}", "out of memory", hint) from error


class _Run:
    """One training run on one rank."""

    def __init__(self, tokens: Path, out: Path, scale: Scale, seed: int, options: TrainOptions, ranks: Ranks) -> None:
        self.out, self.scale, self.options, self.ranks = out, scale, options, ranks
        self.started = time.time()
        self.data = TokenDataset(tokens, verify=ranks.is_first)
        check_data(self.data, scale, options.epochs, str(tokens))
        self.validation = _open_validation(options.validation, scale)
        if scale.batch_sequences % ranks.world_size:
            what = (
                f"found {ranks.world_size} ranks, allowed: divisors of the batch of {scale.batch_sequences} sequences"
            )
            raise ConfigError(f"scale {scale.name}", what)
        inputs = {"tokens": self.data.record.fingerprint}
        if self.validation is not None:
            inputs["validation"] = self.validation.record.fingerprint
        config = {"scale": scale, "seed": seed, "epochs": options.epochs}
        identity = fingerprint({"stage": "train", "version": VERSION, **config, "inputs": inputs})
        self.plan = Plan(scale=scale, seed=seed, epochs=options.epochs, inputs=inputs, fingerprint=identity)

    def execute(self, progress: Progress) -> Record:
        """See `train`."""
        finished = find_record(self.out, self.plan.fingerprint)
        if finished is not None:
            return finished
        progress = progress if self.ranks.is_first else Silent()
        checkpoint, state = self._begin()
        torch.set_num_threads(self.options.threads)
        torch.use_deterministic_algorithms(self.ranks.device.type == "cpu")
        trainer = self._trainer(checkpoint, state)
        tokenizer = _find_tokenizer(self.data)

        def save(step: int) -> None:
            reached = dataclasses.replace(state, step=step)
            save_checkpoint(self.out, trainer.loss_model.model, trainer.optimizer, reached, tokenizer, self.ranks)
            if self.ranks.is_first:
                prune_checkpoints(self.out, self.options.keep_checkpoints)

        every = self.options.checkpoint_every or -(-self.scale.num_steps // 5)
        progress.start(f"train {self.scale.name}", self.scale.num_steps, "steps")
        progress.advance(state.step)
        if self.ranks.is_first:
            with open_metrics(self.out, state.step) as writer:
                trainer.run(state.step, writer, progress, every, save)
        else:
            trainer.run(state.step, None, progress, every, save)
        loss = None
        if self.validation is not None:
            loss = validation_loss(trainer.loss_model, self.validation, self.scale, self.ranks)
        progress.finish()
        if self.ranks.is_first:
            write_record(
                self.out, report(self.out, self.plan, self.data, self.validation, loss, self._provenance(state))
            )
        self.ranks.wait()
        return read_record(self.out)

    def _begin(self) -> tuple[Path | None, State]:
        """Make or check the output directory; the checkpoint to go on from, and where the run stands."""
        existing = list_checkpoints(self.out)
        require_fresh(self.out, self.options.resume)
        self.ranks.wait()
        if self.ranks.is_first:
            self.out.mkdir(parents=True, exist_ok=True)
            remove_temporary(self.out)
            require_space(self.out, self.scale.model.num_parameters, self.options.keep_checkpoints)
        self.ranks.wait()
        fresh = State(
            step=0,
            fingerprint=self.plan.fingerprint,
            precision=choose_precision(self.options.precision, self.ranks.device),
            threads=self.options.threads,
            world_size=self.ranks.world_size,
        )
        if not existing:
            return None, fresh
        state = read_state(existing[-1])
        if state.fingerprint != self.plan.fingerprint:
            what = "holds a run of another scale, seed or data"
            raise ConfigError(str(self.out), what, "choose another --out, or repeat the command that began it")
        if self.options.precision not in ("auto", state.precision):
            what = f"was begun in {state.precision}, found --precision {self.options.precision}"
            raise ConfigError(str(self.out), what)
        return existing[-1], dataclasses.replace(fresh, step=state.step, precision=state.precision)

    def _trainer(self, checkpoint: Path | None, state: State) -> Trainer:
        config, seed = self.scale.model, self.plan.seed
        weights = read_weights(checkpoint / MODEL) if checkpoint else None

        def value(name: str, shape: torch.Size) -> torch.Tensor:
            return initial_weight(name, shape, config, seed) if weights is None else weights[name]

        loss_model = build_model(config, self.scale.z_loss, self.ranks, value, DTYPES[state.precision])
        model = loss_model.model
        if weights is not None:
            model.rotary.inv_freq = weights["rotary.inv_freq"].to(self.ranks.device)
        model.checkpoint_activations = self.options.checkpoint_activations
        if self.options.compile:
            for block in model.layers:
                block.compile()
        optimizer = make_optimizer(model.parameters(), self.scale)
        if checkpoint is not None:
            load_optimizer(checkpoint, model, optimizer, state.step)
        batch = self.scale.batch_sequences
        order = Order(num_sequences=self.data.num_sequences, batch_sequences=batch, seed=seed)
        return Trainer(
            scale=self.scale, order=order, data=self.data, loss_model=loss_model, optimizer=optimizer, ranks=self.ranks
        )

    def _provenance(self, state: State) -> dict[str, object]:
        how = {"device": self.ranks.device.type, "precision": state.precision, "threads": state.threads}
        return {**provenance(self.started), **how, "world_size": self.ranks.world_size}


def _open_validation(path: Path | None, scale: Scale) -> TokenDataset | None:
    if path is None:
        return None
    data = TokenDataset(path)
    check_shape(data, scale, str(path))
    if not data.num_sequences:
        raise DataError(str(path), "no sequences to validate on", "tokenize some held-out text")
    return data


def _find_tokenizer(data: TokenDataset) -> Path | None:
    """tokenizer.json of the tokens: beside them, or the asset they name if its sha256 is theirs; None if neither."""
    beside = data.path / TOKENIZER
    if beside.exists():
        return beside
    name, sha256 = data.record.config.get("tokenizer"), data.record.config.get("tokenizer_sha256")
    if not isinstance(name, str):
        return None
    try:
        found = resolve(name)
    except (AssetError, ConfigError):  # it was a file, which lies elsewhere: evaluation asks for it then
        return None
    return found.path if found.sha256 == sha256 else None


__all__ = ["TrainOptions", "train"]
