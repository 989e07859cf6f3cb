"""The update loop: read the batch, accumulate gradients over micro-batches and ranks, clip, step, write metrics."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dclm.core.errors import DataError
from dclm.core.stages import stopping
from dclm.core.stages.progress import Progress
from dclm.train.data import Order, Sequences
from dclm.train.distributed.parallel import LossModel
from dclm.train.distributed.ranks import Ranks
from dclm.train.optim import MAX_GRAD_NORM, Schedule, learning_rate, set_learning_rate
from dclm.train.output.metrics import MetricsWriter, StepMetrics, speed_note
from dclm.train.scale import Scale
from dclm.train.throughput import model_flops_utilization, peak_flops

READ_BACK_EVERY_GPU = 10  # number of updates between reads of the loss from the device, which make it wait


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ended:
    """The state of a run when a signal ended it."""

    step: int
    """Number of updates done, and saved."""
    signal: int


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """Everything that an update needs."""

    scale: Scale
    order: Order
    data: Sequences
    loss_model: LossModel
    optimizer: torch.optim.Optimizer
    ranks: Ranks
    schedule: Schedule = "cosine"

    def run(
        self,
        first: int,
        writer: MetricsWriter | None,
        progress: Progress,
        checkpoint_every: int,
        save: Callable[[int], None],
    ) -> Ended | None:
        """Updates `first` to the scale's last; `save(step)` after each `checkpoint_every` and after the last.

        If a signal asks this process or another rank to end, all ranks save after the running update and return.

        Raises: DataError as soon as a loss or gradient that is not finite is read back.
        """
        last = self.scale.num_steps
        read_back = 1 if self.ranks.device.type == "cpu" else READ_BACK_EVERY_GPU
        pending: list[Tensor] = []
        started = time.perf_counter()
        self.loss_model.train()
        for step in range(first, last):
            pending.append(self.update(step))
            done = step + 1
            ended = self.ranks.largest(stopping.requested() or 0)
            due = done % checkpoint_every == 0 or done == last or ended > 0
            if len(pending) == read_back or due:
                self._write_down(done, pending, time.perf_counter() - started, writer, progress)
                pending = []
                started = time.perf_counter()
            if due:
                save(done)
                started = time.perf_counter()
            if ended:
                return Ended(step=done, signal=ended)
        return None

    def update(self, step: int) -> Tensor:
        """One update; returns (Σ cross-entropy, Σ z-loss) over the global batch and the gradient's norm, on the
        device."""
        scale, ranks = self.scale, self.ranks
        rows = ranks.to_device(self.data.rows(self.order.batch(step, ranks.rank, ranks.world_size)))
        # FSDP takes the mean of the ranks' gradients, so each rank's share is multiplied by world_size.
        weight = ranks.world_size / (scale.batch_sequences * scale.model.seq_len)
        sums = torch.zeros(2, device=ranks.device)
        micro = scale.micro_batch_sequences
        passes = -(-self.order.largest_share(ranks.world_size) // micro)
        for index in range(passes):
            self._sync_gradients(last=index == passes - 1)
            part = rows[index * micro : (index + 1) * micro]
            idle = len(part) == 0  # all ranks make the same number of passes: this one has read all of its share
            losses = self.loss_model(rows[:1] if idle else part, 0.0 if idle else weight)
            losses.loss.backward()
            if not idle:
                sums += torch.stack((losses.cross_entropy, losses.z_loss)).detach()
        parameters = list(self.loss_model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        full_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        set_learning_rate(self.optimizer, learning_rate(scale, step, self.schedule))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return torch.cat((ranks.sum(sums), full_norm.reshape(1)))

    def _sync_gradients(self, last: bool) -> None:
        if self.ranks.world_size > 1:
            self.loss_model.set_requires_gradient_sync(last)  # type: ignore[operator]

    def _write_down(
        self, done: int, pending: list[Tensor], seconds: float, writer: MetricsWriter | None, progress: Progress
    ) -> None:
        scale = self.scale
        batch_tokens = scale.batch_sequences * scale.model.seq_len
        for offset, values in enumerate(torch.stack(pending).tolist()):
            step = done - len(pending) + 1 + offset
            loss, z_loss, norm = values[0] / batch_tokens, values[1] / batch_tokens, values[2]
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"loss is {loss}, gradient norm {norm}: training has diverged"
                hint = (
                    "check for corrupt tokens, or lower the learning rate; --resume continues from the last checkpoint"
                )
                raise DataError(f"{scale.name}, step {step}", what, hint)
            if writer is not None:
                rate = learning_rate(scale, step - 1, self.schedule)
                tokens = step * batch_tokens
                writer.step(StepMetrics(step=step, loss=loss, z_loss=z_loss, lr=rate, grad_norm=norm, tokens=tokens))
        speed = len(pending) * batch_tokens / seconds
        utilization = self._utilization(speed)
        if writer is not None:
            writer.timing(done, seconds, speed, utilization)
        note = speed_note(loss, speed, utilization)
        progress.advance(len(pending), len(pending) * batch_tokens, note=note)

    def _utilization(self, speed: float) -> float | None:
        peak = peak_flops(self.ranks.device)
        if peak is None:
            return None
        return model_flops_utilization(speed, self.scale.model.flops_per_token, peak, self.ranks.world_size)


def validation_loss(loss_model: LossModel, data: Sequences, scale: Scale, ranks: Ranks) -> float:
    """Mean cross-entropy (nats per token) over all of `data`, of which each rank reads every world_size-th batch."""
    loss_model.eval()
    total = torch.zeros(1, dtype=torch.float64, device=ranks.device)
    micro, present = scale.micro_batch_sequences, data.num_sequences
    for number in range(-(-present // (micro * ranks.world_size))):
        start = (number * ranks.world_size + ranks.rank) * micro
        # All ranks run the same number of passes: one that has no rows left reads row 0, which is not counted.
        rows = data.rows(np.arange(start, min(start + micro, present)) if start < present else np.zeros(1, np.int64))
        with torch.no_grad():
            losses = loss_model(ranks.to_device(rows), 1.0)
        if start < present:
            total += losses.cross_entropy
    loss_model.train()
    return float(ranks.sum(total)) / (present * scale.model.seq_len)
