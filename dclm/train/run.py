"""The training stage: a tokens artifact and a scale in, a checkpoint artifact out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from dclm.errors import ConfigError, DataError
from dclm.model.init import initial_weight
from dclm.model.weights import MODEL, TOKENIZER, read_weights
from dclm.progress import Progress, Silent
from dclm.record import Record, describe_files, find_record, fingerprint, provenance, write_record
from dclm.storage import remove_temporary
from dclm.tokens.dataset import TokenDataset
from dclm.train.checkpoint import (
    State,
    checkpoint_path,
    list_checkpoints,
    load_optimizer,
    prune_checkpoints,
    read_state,
    require_space,
    save_checkpoint,
)
from dclm.train.data import Order, check_data, check_shape, unigram_entropy
from dclm.train.loop import Trainer, validation_loss
from dclm.train.metrics import TIMINGS, open_metrics, read_metrics
from dclm.train.optim import make_optimizer
from dclm.train.parallel import build_model
from dclm.train.plot import draw_loss
from dclm.train.ranks import Device, Ranks, join
from dclm.train.scale import Scale, find_scale, with_tokens

VERSION = 1
"""Of training as a whole: changes when the same input would give another model."""
Precision = Literal["auto", "fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LOSS_PICTURE = "loss.svg"
FINAL_STEPS = 50
"""Updates over which the final training loss is the mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train, beside what: `epochs`, `num_tokens` and `precision` alone change numbers by more than rounding."""

    validation: Path | None = None
    """A tokens artifact of held-out text."""
    epochs: int = 1
    """Passes over the tokens that are allowed where they are fewer than the scale needs."""
    num_tokens: int | None = None
    """Other training tokens than the scale's; the record then says `standard: false`."""
    resume: bool = False
    """Go on from the last checkpoint in the output directory, if there is one."""
    device: Device = "auto"
    precision: Precision = "auto"
    """auto: bfloat16 products and activations on CUDA and on CPUs with bfloat16 instructions, else float32."""
    threads: int = 2
    """CPU threads of a rank: the order of float sums depends on it, so it does not follow the machine."""
    checkpoint_every: int | None = None
    """Updates between checkpoints; None: a fifth of the run, as the reference."""
    keep_checkpoints: int = 2
    """The last so many are kept."""
    compile: bool = False
    """Compile the blocks (torch.compile): faster on GPUs, with other rounding."""
    checkpoint_activations: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""


def train(
    tokens: Path, out: Path, *, scale: Scale | str, seed: int, options: TrainOptions, progress: Progress | None = None
) -> Record:
    """Train one model in this process, or as one of the ranks that torchrun or Ray Train started.

    Writes `metrics.jsonl` (the same bytes for the same run on a CPU), `timings.jsonl`, `checkpoints/step-NNNNNN/`,
    `loss.svg` and, last, `record.json`. A finished run with the same fingerprint is returned as it is.
    Raises: ConfigError, DataError; OutOfMemory as DataError with a hint.
    """
    chosen = with_tokens(find_scale(scale) if isinstance(scale, str) else scale, options.num_tokens)
    with join(options.device) as ranks, _out_of_memory_explained(chosen):
        run = _Run(tokens, out, chosen, seed, options, ranks, (progress if ranks.is_first else None) or Silent())
        return run.execute()


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

    def __init__(
        self, tokens: Path, out: Path, scale: Scale, seed: int, options: TrainOptions, ranks: Ranks, progress: Progress
    ) -> None:
        self.tokens, self.out, self.scale, self.seed = tokens, out, scale, seed
        self.options, self.ranks, self.progress = options, ranks, progress
        self.started = time.time()
        self.data = TokenDataset(tokens)
        check_data(self.data, scale, options.epochs, str(tokens))
        self.validation = TokenDataset(options.validation) if options.validation else None
        if self.validation is not None:
            check_shape(self.validation, scale, str(options.validation))
            if not self.validation.num_sequences:
                raise DataError(str(options.validation), "no sequences to validate on", "tokenize some held-out text")
        if scale.batch_sequences % ranks.world_size:
            what = (
                f"found {ranks.world_size} ranks, allowed: divisors of the batch of {scale.batch_sequences} sequences"
            )
            raise ConfigError(f"scale {scale.name}", what)
        self.inputs = {"tokens": self.data.record.fingerprint}
        if self.validation is not None:
            self.inputs["validation"] = self.validation.record.fingerprint
        self.config = {"scale": scale, "seed": seed, "epochs": options.epochs}
        self.fingerprint = fingerprint({"stage": "train", "version": VERSION, **self.config, "inputs": self.inputs})

    def execute(self) -> Record:
        """See `train`."""
        finished = find_record(self.out, self.fingerprint)
        if finished is not None:
            return finished
        checkpoint, state = self._begin()
        torch.set_num_threads(self.options.threads)
        torch.use_deterministic_algorithms(self.ranks.device.type == "cpu")
        trainer = self._trainer(checkpoint, state)
        save = _Saver(self, trainer, state)
        every = self.options.checkpoint_every or -(-self.scale.num_steps // 5)
        self.progress.start(f"train {self.scale.name}", self.scale.num_steps, "steps")
        self.progress.advance(state.step)
        if self.ranks.is_first:
            with open_metrics(self.out, state.step) as writer:
                trainer.run(state.step, writer, self.progress, every, save)
        else:
            trainer.run(state.step, None, self.progress, every, save)
        loss = None
        if self.validation is not None:
            loss = validation_loss(trainer.loss_model, self.validation, self.scale, self.ranks)
        self.progress.finish()
        record = self._record(state, loss)
        if self.ranks.is_first:
            write_record(self.out, record)
        self.ranks.wait()
        return record

    def _begin(self) -> tuple[Path | None, State]:
        """Make or check the output directory; the checkpoint to go on from, and where the run stands."""
        existing = list_checkpoints(self.out)
        if existing and not self.options.resume:
            hint = "pass --resume to go on with it, or choose another --out"
            raise ConfigError(str(self.out), f"holds an unfinished run, at {existing[-1].name}", hint)
        self.ranks.wait()
        if self.ranks.is_first:
            self.out.mkdir(parents=True, exist_ok=True)
            remove_temporary(self.out)
            require_space(self.out, self.scale.model.num_parameters, self.options.keep_checkpoints)
        self.ranks.wait()
        precision = choose_precision(self.options.precision, self.ranks.device)
        fresh = State(
            step=0, fingerprint=self.fingerprint, precision=precision, threads=self.options.threads,
            world_size=self.ranks.world_size,
        )  # fmt: skip
        if not existing:
            return None, fresh
        state = read_state(existing[-1])
        if state.fingerprint != self.fingerprint:
            what = "holds a run of another scale, seed or data"
            raise ConfigError(str(self.out), what, "choose another --out, or repeat the command that began it")
        if state.precision != precision and self.options.precision != "auto":
            raise ConfigError(str(self.out), f"was begun in {state.precision}, found --precision {precision}")
        return existing[-1], dataclasses.replace(fresh, step=state.step, precision=state.precision)

    def _trainer(self, checkpoint: Path | None, state: State) -> Trainer:
        config = self.scale.model
        weights = read_weights(checkpoint / MODEL) if checkpoint else None

        def value(name: str, shape: torch.Size) -> torch.Tensor:
            return initial_weight(name, shape, config, self.seed) if weights is None else weights[name]

        dtype = DTYPES[state.precision]
        loss_model = build_model(config, self.scale.z_loss, self.ranks, value, dtype)
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
        order = Order(num_sequences=self.data.num_sequences, batch_sequences=batch, seed=self.seed)
        return Trainer(
            scale=self.scale, order=order, data=self.data, loss_model=loss_model, optimizer=optimizer, ranks=self.ranks
        )

    def _record(self, state: State, validation: float | None) -> Record:
        self.ranks.wait()
        metrics = read_metrics(self.out)
        final = metrics[-FINAL_STEPS:]
        entropy = unigram_entropy(self.data, self.scale.num_sequences)
        counts: dict[str, object] = {
            "parameters": self.scale.model.num_parameters,
            "published_parameters": self.scale.model.published_parameters,
            "steps": self.scale.num_steps,
            "tokens": self.scale.trained_tokens,
            "tokens_present": self.data.num_sequences * self.data.seq_len,
            "flops": self.scale.flops,
            "flops_6nd": self.scale.flops_6nd,
            "train_loss": sum(m.loss for m in final) / len(final),
            "unigram_entropy": entropy,
            "validation_loss": validation,
            "validation_bits_per_byte": self._bits_per_byte(validation),
        }
        if self.ranks.is_first:
            lines = {"entropy of single tokens": entropy}
            if validation is not None:
                lines["validation loss"] = validation
            draw_loss(self.out / LOSS_PICTURE, metrics, f"{self.scale.name}, seed {self.seed}", lines)
        self.ranks.wait()
        files = tuple(f for f in describe_files(self.out) if f.path != TIMINGS)
        run = {"device": self.ranks.device.type, "precision": state.precision, "threads": state.threads}
        return Record(
            kind="checkpoint",
            name=self.scale.name,
            fingerprint=self.fingerprint,
            config={
                "scale": dataclasses.asdict(self.scale), "seed": self.seed, "epochs": self.options.epochs,
                "standard": self.scale.standard and self.options.epochs == 1,
            },
            inputs=self.inputs,
            counts=counts,
            files=files,
            provenance={**provenance(self.started), **run, "world_size": self.ranks.world_size},
        )  # fmt: skip

    def _bits_per_byte(self, loss: float | None) -> float | None:
        if loss is None or self.validation is None:
            return None
        counts = self.validation.record.counts
        num_bytes, num_tokens = counts.get("bytes"), counts.get("tokens")
        if not isinstance(num_bytes, int) or not isinstance(num_tokens, int) or not num_bytes:
            return None
        return loss / math.log(2) * num_tokens / num_bytes


class _Saver:
    """Writes the checkpoint after an update, and deletes those no longer kept."""

    def __init__(self, run: _Run, trainer: Trainer, state: State) -> None:
        self.run, self.trainer, self.state = run, trainer, state
        tokenizer = run.tokens / TOKENIZER
        self.tokenizer = tokenizer if tokenizer.exists() else None

    def __call__(self, step: int) -> None:
        run = self.run
        state = dataclasses.replace(self.state, step=step)
        save_checkpoint(
            run.out, self.trainer.loss_model.model, self.trainer.optimizer, state, self.tokenizer, run.ranks
        )
        if run.ranks.is_first:
            prune_checkpoints(run.out, run.options.keep_checkpoints)


def choose_precision(asked: Precision, device: torch.device) -> str:
    """`fp32` or `bf16`. auto takes bfloat16 where the device has instructions for it."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "fp32"


def final_checkpoint(out: Path, scale: Scale) -> Path:
    """Where the last checkpoint of a finished run lies."""
    return checkpoint_path(out, scale.num_steps)


__all__ = ["TrainOptions", "choose_precision", "final_checkpoint", "train"]
