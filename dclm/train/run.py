"""The training stage: a tokens artifact and a scale in, a checkpoint artifact out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from dclm.core.errors import ConfigError
from dclm.core.record import RECORD, Record, find_record, fingerprint, provenance, read_record
from dclm.core.stages import stopping
from dclm.core.stages.lease import Lease, held
from dclm.core.stages.ownership import mark_directory, release_directory, require_directory
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.replaced import reused
from dclm.core.stages.stopping import Stopped
from dclm.core.storage import remove_temporary
from dclm.core.stores.store import open_store
from dclm.model.init import initial_weight
from dclm.model.load import list_checkpoints
from dclm.tokens.dataset import TokenDataset
from dclm.train.data import Order, check_data, open_validation
from dclm.train.distributed.faults import faults_explained
from dclm.train.distributed.parallel import build_model
from dclm.train.distributed.ranks import Ranks, join
from dclm.train.loop import Trainer, validation_loss
from dclm.train.optim import make_optimizer
from dclm.train.options import DTYPES, TrainOptions, choose_precision
from dclm.train.output.checkpoint import (
    State,
    load_checkpoint,
    prune_checkpoints,
    read_state,
    require_fresh,
    require_space,
    save_checkpoint,
)
from dclm.train.output.home import Home, open_home, shared_by
from dclm.train.output.metrics import MetricsWriter, open_metrics
from dclm.train.output.report import TrainPlan, report
from dclm.train.output.trackers import open_trackers, require_trackers
from dclm.train.scale import Scale, checked_standard, find_scale, with_tokens, with_vocabulary, with_weight_decay
from dclm.train.start import StartWeights, last_moments

VERSION = 1
"""Version of training as a whole: changes when the same input would give another model."""


def train(
    tokens: Path | str,
    out: Path | str,
    *,
    scale: Scale | str,
    seed: int,
    options: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Record:
    """Train one model in this process, or as one of the ranks that torchrun or Ray Train started.

    Writes `metrics.jsonl` (the same bytes for the same run on a CPU), `timings.jsonl`, `checkpoints/step-NNNNNN/`,
    `loss.svg` and, last, `record.json`. A finished run with the same fingerprint is returned unchanged. Raises:
    ConfigError and DataError before anything starts or when it happens: too few or corrupt tokens, sequences of another
    length, an unfinished run in `out` without `resume`, a tracker that is not installed, a full disk, no memory, a loss
    that is not finite, a rank that stalls or is lost.
    """
    options = options or TrainOptions()
    named = find_scale(scale) if isinstance(scale, str) else checked_standard(scale)
    chosen = with_weight_decay(with_tokens(named, options.num_tokens), options.weight_decay)
    require_trackers(options.track)
    patience, home = options.timeout_seconds, open_home(out)
    with (
        faults_explained(chosen.name, home.folder, patience),
        join(options.device, timeout_seconds=patience, shard_over=options.shard_over, folder=shared_by(out)) as ranks,
    ):
        return _Run(tokens, home, chosen, seed, options, ranks).execute(progress or NullProgress())


class _Run:
    """One training run on one rank."""

    def __init__(
        self, tokens: Path | str, home: Home, scale: Scale, seed: int, options: TrainOptions, ranks: Ranks
    ) -> None:
        self.home, self.out = home, home.folder
        self.lease: Lease | None = None
        self.started = time.time()
        self.data = TokenDataset(tokens)
        scale = with_vocabulary(scale, self.data.vocab_size)
        self.scale, self.options, self.ranks = scale, options, ranks
        check_data(self.data, scale, options.epochs, str(tokens))
        self.data.verify(ranks.rank, ranks.world_size)
        self.validation = open_validation(options.validation, scale)
        if ranks.world_size > scale.batch_sequences:
            what = (
                f"found {ranks.world_size} ranks, allowed: at most one per sequence of a batch, {scale.batch_sequences}"
            )
            raise ConfigError(f"scale {scale.name}", what)
        records = {"tokens": self.data.record}
        if self.validation is not None:
            records["validation"] = self.validation.record
        inputs = {role: record.fingerprint for role, record in records.items()}
        digests = {role: record.digest for role, record in records.items() if record.digest}
        self.start = None if options.init is None else StartWeights(options.init, scale.model)
        if self.start is not None:
            inputs["init"] = self.start.fingerprint
        config: dict[str, object] = {"scale": scale, "seed": seed, "epochs": options.epochs}
        self.moments = last_moments(options.init) if options.keep_moments else None
        self.earlier_updates = 0
        if self.moments is not None:
            state = read_state(self.moments)
            self.earlier_updates = state.optimizer_step
            inputs["moments"] = fingerprint([state.fingerprint, state.step])
        if options.open_lm_order is not None:
            config["open_lm_order"] = options.open_lm_order
        if options.schedule != "cosine":
            config["schedule"] = options.schedule
        identity = fingerprint({"stage": "train", "version": VERSION, **config, "inputs": inputs})
        self.plan = TrainPlan(
            scale=scale,
            seed=seed,
            epochs=options.epochs,
            inputs=inputs,
            input_digests=digests,
            fingerprint=identity,
            schedule=options.schedule,
            open_lm_order=options.open_lm_order,
        )

    def execute(self, progress: Progress) -> Record:
        """See `train`."""
        home, force, identity = self.home.address, self.options.force, self.plan.fingerprint
        if self.ranks.is_first:  # which also tidies up after a run that was killed once its record was there
            finished = reused(home, "checkpoint", identity, force, say=lambda line: None)
        else:
            finished = find_record(home, "checkpoint", identity, force=force)
        if finished is not None:
            return finished
        if self.ranks.is_first:
            given = (self.data.address, self.options.validation, self.options.init)
            require_directory(self.home.address, "checkpoint", [path for path in given if path is not None])
        with held(self.home.address) if self.ranks.is_first else nullcontext() as self.lease:
            return self._execute(progress if self.ranks.is_first else NullProgress())

    def _execute(self, progress: Progress) -> Record:
        if self.ranks.is_first:
            mark_directory(self.home.address, "checkpoint")
        checkpoint, state = self._begin()
        torch.set_num_threads(self.options.threads)
        torch.use_deterministic_algorithms(self.ranks.device.type == "cpu")
        trainer = self._trainer(checkpoint, state)
        progress.start(f"train {self.scale.name}", self.scale.num_steps, "steps")
        progress.advance(state.step)
        with self._writer(state.step) as writer:
            self._updates(trainer, state, writer, progress)
            loss = None
            if self.validation is not None:
                loss = validation_loss(trainer.loss_model, self.validation, self.scale, self.ranks)
                if writer is not None:
                    writer.track(self.scale.num_steps, {"validation_loss": loss})
        progress.finish()
        if self.ranks.is_first:
            self._require_lease()
            done = report(self.out, self.plan, self.data, self.validation, loss, self._provenance(state))
            self.home.finish(done, self.options.keep_checkpoints)
            release_directory(self.home.address)
        self.home.leave(self.ranks)
        return read_record(self.home.address)

    @contextmanager
    def _writer(self, step: int) -> Iterator[MetricsWriter | None]:
        """The metrics writer of the first rank; None on the others."""
        if not self.ranks.is_first:
            yield None
            return
        run, identity = f"{self.scale.name} {'/'.join(self.home.address.split('/')[-2:])}", self.plan.fingerprint
        config = {"scale": dataclasses.asdict(self.scale), "seed": self.plan.seed, "inputs": dict(self.plan.inputs)}
        with (
            open_trackers(
                self.options.track, self.out, run=run, identity=identity, config=config, step=step
            ) as trackers,
            open_metrics(self.out, step, trackers) as writer,
        ):
            yield writer

    def _updates(self, trainer: Trainer, state: State, writer: MetricsWriter | None, progress: Progress) -> None:
        copied = self.data.tokenizer()

        def save(step: int) -> None:
            self._require_lease()
            reached = dataclasses.replace(state, step=step)
            model, last = trainer.loss_model.model, step == self.scale.num_steps
            path = save_checkpoint(self.out, model, trainer.optimizer, reached, copied, self.ranks, last=last)
            if self.ranks.keeps_folder:
                prune_checkpoints(self.out, self.options.keep_checkpoints)
            self.home.push_checkpoint(path, self.ranks, self.options.keep_checkpoints)

        every = self.options.checkpoint_every or -(-self.scale.num_steps // 5)
        total = self.scale.num_steps
        again = "run the same command again to continue (`dclm train --resume`)"
        with stopping.watched(f"all {total:,} updates are saved in {self.home.address}; {again}"):
            ended = trainer.run(state.step, writer, progress, every, save)
            if ended is not None:
                what = f"the checkpoint after {ended.step:,} of {total:,} updates is saved in {self.home.address}"
                raise Stopped(ended.signal, f"{what}; {again}")

    def _begin(self) -> tuple[Path | None, State]:
        """Make or check the output directory; returns the checkpoint to continue from, and the state of the run."""
        self.home.begin(self.ranks, lambda: self.options.force and self._is_another())
        existing = list_checkpoints(self.out)
        unfinished = existing[-1].name if existing and not (self.out / RECORD).exists() else None
        require_fresh(self.home.address, unfinished, self.options.resume, self.options.force)
        self.ranks.wait()
        if self.ranks.keeps_folder:
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
            earlier_updates=self.earlier_updates,
        )
        if not existing:
            return None, fresh
        state = read_state(existing[-1], verify=self.ranks.keeps_folder)
        if state.fingerprint != self.plan.fingerprint:
            what = "contains a run with another scale, seed or data"
            hint = "choose another --out, repeat the command that started it, or pass --force to replace it"
            raise ConfigError(self.home.address, what, hint)
        if self.options.precision not in ("auto", state.precision):
            what = f"was started with --precision {state.precision}, found {self.options.precision}"
            raise ConfigError(self.home.address, what)
        return existing[-1], dataclasses.replace(fresh, step=state.step, precision=state.precision)

    def _require_lease(self) -> None:
        """Raises: IncompleteError on the first rank if another run has taken over."""
        if self.lease is not None:
            self.lease.check()

    def _is_another(self) -> bool:
        """Whether the directory has a run, finished or not, that this one would not continue."""
        existing = list_checkpoints(self.out)
        return open_store(self.home.address).size(RECORD) is not None or bool(
            existing and read_state(existing[-1], verify=False).fingerprint != self.plan.fingerprint
        )

    def _trainer(self, checkpoint: Path | None, state: State) -> Trainer:
        config, seed = self.scale.model, self.plan.seed

        def first(name: str, shape: torch.Size) -> torch.Tensor:
            return initial_weight(name, shape, config, seed) if self.start is None else self.start.first(name, shape)

        values = first if checkpoint is None else None
        loss_model = build_model(config, self.scale.z_loss, self.ranks, values, DTYPES[state.precision])
        model = loss_model.model
        model.checkpoint_activations = self.options.checkpoint_activations
        on_cuda = self.ranks.device.type == "cuda"
        if on_cuda if self.options.compile is None else self.options.compile:
            loss_model.compile_parts()
        optimizer = make_optimizer(model.parameters(), self.scale)
        if checkpoint is not None:
            load_checkpoint(checkpoint, model, optimizer, state.optimizer_step)
        elif self.moments is not None:
            load_checkpoint(self.moments, model, optimizer, state.optimizer_step)
        batch = self.scale.batch_sequences
        stated = None
        if self.plan.open_lm_order is not None:
            part = self.scale.tokens // self.plan.open_lm_order.checkpoints // config.seq_len
            stated = self.plan.open_lm_order.indices(self.data.shard_rows, part, batch, self.scale.num_steps)
        order = Order(num_sequences=self.data.num_sequences, batch_sequences=batch, seed=seed, stated=stated)
        return Trainer(
            scale=self.scale,
            order=order,
            data=self.data,
            loss_model=loss_model,
            optimizer=optimizer,
            ranks=self.ranks,
            schedule=self.plan.schedule,
        )

    def _provenance(self, state: State) -> dict[str, object]:
        how = {"device": self.ranks.device.type, "precision": state.precision, "threads": state.threads}
        return {**provenance(self.started), **how, "world_size": self.ranks.world_size}


__all__ = ["TrainOptions", "train"]
