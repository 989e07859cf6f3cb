"""Training speed on one GPU: tokens/s, MFU and memory of 411m_1x and 1b_1x, and their first losses compared with plain
ones.

    python -m tests.bench.bench_gpu                              speed
    python -m tests.bench.bench_gpu --steps 200 --plain          also the first 200 losses next to the plain ones python
    -m tests.bench.bench_gpu --profile                    also the kernels that take an update's time python -m
    tests.bench.bench_gpu --device cpu --scales tiny --steps 6 --plain      a dry run without a GPU

Needs CUDA and no data: tokens are random with a text's frequencies, which costs a model the same. Each scale runs with
its own micro-batch, bfloat16, fused AdamW, compiled blocks and compiled loss; an update is cut to `--micro-batches`
micro-batches, so that the optimizer's share is larger than in training, not smaller. MFU as in `dclm.train.throughput`.
Plain is a straightforward first version: nothing compiled, all logits at once through `cross_entropy`, AdamW without
fusion, the same batch in smaller micro-batches for their memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import statistics
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dclm.model.init import initial_weight
from dclm.model.loss import LossSums
from dclm.train.data import Order
from dclm.train.distributed.parallel import LossModel, build_model
from dclm.train.distributed.ranks import Ranks
from dclm.train.loop import Trainer
from dclm.train.optim import make_optimizer
from dclm.train.scale import Scale, find_scale
from dclm.train.throughput import model_flops_utilization, peak_flops

GOAL = 0.50
WARM_UP = 3  # updates that are not timed: compilation, allocation
PLAIN_PARTS = 4  # micro-batches of plain for one of ours: its logits, their gradient and more are float32
WINDOW = 20
KERNELS = 30
NOISE = 0.02
"""Nats by which means of `WINDOW` losses may differ, because bfloat16 sums depend on their order."""


@dataclasses.dataclass(frozen=True)
class RandomTokens:
    """Rows determined by their number, of tokens with the frequencies of a natural text (1/rank)."""

    seq_len: int
    vocab_size: int
    num_sequences: int = 1 << 20

    def rows(self, indices: np.ndarray) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(int(indices[0])))
        uniform = generator.random((len(indices), self.seq_len + 1))
        return np.minimum(self.vocab_size**uniform, self.vocab_size - 1).astype(np.int64)


class PlainLoss(LossModel):
    """The same loss with all logits at once, differentiated by autograd."""

    def forward(self, rows: Tensor, scale: float) -> LossSums:
        logits = self.model(rows[:, :-1]).flatten(0, 1)
        cross_entropy = F.cross_entropy(logits, rows[:, 1:].flatten(), reduction="sum")
        z_loss = self.z_loss * logits.logsumexp(dim=1).square().sum()
        return LossSums((cross_entropy + z_loss) * scale, cross_entropy, z_loss)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measurements of one run."""

    losses: list[float]
    tokens_per_second: float
    peak_gib: float


def make_trainer(scale: Scale, device: torch.device, plain: bool) -> Trainer:
    """The initial weights of seed 0 and their optimizer, ours or plain."""
    ranks = Ranks(device=device)
    loss_model = build_model(
        scale.model, scale.z_loss, ranks, lambda name, shape: initial_weight(name, shape, scale.model, 0),
        torch.bfloat16,
    )  # fmt: skip
    if plain:
        loss_model = PlainLoss(loss_model.model, scale.z_loss)
    elif device.type == "cuda":
        loss_model.compile_parts()
    loss_model.train()
    data = RandomTokens(scale.model.seq_len, scale.model.vocab_size)
    order = Order(num_sequences=data.num_sequences, batch_sequences=scale.batch_sequences, seed=0)
    optimizer = make_optimizer(loss_model.parameters(), scale, fused=not plain)
    return Trainer(scale=scale, order=order, data=data, loss_model=loss_model, ranks=ranks, optimizer=optimizer)


def measure(scale: Scale, steps: int, device: torch.device, plain: bool) -> Measured:
    """`steps` updates, the first `WARM_UP` of which are not timed."""
    cuda = device.type == "cuda"
    gc.collect()
    torch._dynamo.reset()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer = make_trainer(scale, device, plain)
    tokens = scale.batch_sequences * scale.model.seq_len
    losses, seconds = [], []
    for step in range(steps):
        started = time.perf_counter()
        sums = trainer.update(step)
        losses.append(float(sums[0]) / tokens)  # waits for the device
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
    return Measured(losses, tokens / statistics.median(seconds[WARM_UP:]), peak)


KINDS = (
    ("attention", "flash fmha attention"), ("products", "gemm nvjet cutlass cublas aten::mm aten::addmm mkl"),
    ("optimizer", "adam multi_tensor foreach"), ("communication", "nccl"), ("copies", "memcpy memset copy_"),
    ("norms", "layer_norm layernorm"), ("loss", "softmax logsumexp"), ("compiled", "triton"),
)  # fmt: skip
"""Kinds of kernels → parts of their names, the first match counts; what torch.compile fuses is called triton_…"""


def breakdown(scale: Scale, device: torch.device, table: bool = True) -> dict[str, float]:
    """Shares of one update's time by kind of kernel, and `idle`, when none runs; `table` also prints the longest."""
    trainer = make_trainer(scale, device, plain=False)
    for step in range(WARM_UP):
        float(trainer.update(step)[0])
    started = time.perf_counter()
    with torch.profiler.profile() as profiler:
        float(trainer.update(WARM_UP)[0])
        wall = 1e6 * (time.perf_counter() - started)
    rows = profiler.key_averages()
    if table:
        order = f"self_{device.type}_time_total"
        print(rows.table(sort_by=order, row_limit=KERNELS, max_name_column_width=60))
    spent: dict[str, float] = {}
    for row in rows:
        on_device = device.type == "cpu" or row.device_type == torch.autograd.DeviceType.CUDA
        time_of = row.self_cpu_time_total if device.type == "cpu" else row.self_device_time_total
        if on_device and time_of > 0:
            kind = next((kind for kind, parts in KINDS if any(p in row.key.lower() for p in parts.split())), "other")
            spent[kind] = spent.get(kind, 0.0) + time_of / wall
    return spent | {"idle": max(0.0, 1 - sum(spent.values()))}


def waits(scale: Scale, device: torch.device) -> str | None:
    """What makes the host wait for the GPU within an update; None: nothing, as it should be."""
    trainer = make_trainer(scale, device, plain=False)
    for step in range(WARM_UP):
        float(trainer.update(step)[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.update(WARM_UP)
    except RuntimeError as error:
        return str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def utilization(scale: Scale, measured: Measured, peak: float | None) -> float | None:
    """MFU, where the peak is known."""
    if peak is None:
        return None
    return model_flops_utilization(measured.tokens_per_second, scale.model.flops_per_token, peak, 1)


def report(scale: Scale, kind: str, measured: Measured, peak: float | None) -> None:
    speed = measured.tokens_per_second
    line = f"{scale.name} {kind}: {speed:,.0f} tokens/s, {measured.peak_gib:.1f} GiB, last {measured.losses[-1]:.4f}"
    share = utilization(scale, measured, peak)
    if share is not None:
        line += f", MFU {share:.1%}" + ("" if kind == "plain" else f" (goal {GOAL:.0%}: {verdict(share >= GOAL)})")
    print(line, flush=True)


def gap(ours: Measured, plain: Measured) -> float:
    """The largest difference between means of `WINDOW` losses."""
    count = min(len(ours.losses), len(plain.losses))
    gaps = np.subtract(ours.losses[:count], plain.losses[:count])
    return max(abs(float(gaps[start : start + WINDOW].mean())) for start in range(0, count, WINDOW))


def compare(scale: Scale, ours: Measured, plain: Measured) -> None:
    """How far the two loss curves are apart."""
    gaps = np.subtract(ours.losses, plain.losses)
    window = gap(ours, plain)
    ratio = ours.tokens_per_second / plain.tokens_per_second
    print(
        f"{scale.name}: {ratio:.2f}× plain; of {len(gaps)} losses the largest difference is {abs(gaps).max():.4f},"
        f" that of means of {WINDOW} {window:.4f} (goal {NOISE}: {verdict(window <= NOISE)})",
        flush=True,
    )


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", nargs="+", default=["411m_1x", "1b_1x"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--micro", type=int, help="Sequences of a micro-batch; default: the scale's.")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU: a dry run, no measurement"
    peak = peak_flops(device)
    print(f"{name}, torch {torch.__version__}, peak {peak}")
    for scale in map(find_scale, arguments.scales):
        micro = arguments.micro or scale.micro_batch_sequences
        cut = dataclasses.replace(scale, micro_batch_sequences=micro, batch_sequences=micro * arguments.micro_batches)
        ours = measure(cut, arguments.steps, device, plain=False)
        report(cut, "ours", ours, peak)
        if arguments.profile:
            breakdown(cut, device)
        if arguments.plain:
            small = dataclasses.replace(cut, micro_batch_sequences=max(1, micro // PLAIN_PARTS))
            plain = measure(small, arguments.steps, device, plain=True)
            report(small, "plain", plain, peak)
            compare(cut, ours, plain)


if __name__ == "__main__":
    main()
