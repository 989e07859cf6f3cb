"""Training speed on one GPU: tokens/s, MFU and memory of 411m_1x and 1b_1x, and their first losses against plain ones.

Needs CUDA and no data: tokens are random,
which costs a model the same. Each scale runs with its own micro-batch, bfloat16, fused AdamW and compiled blocks; an
update is cut to `--micro-batches` micro-batches, so that the optimizer's share is larger than in training, not smaller.
`--plain` also measures without compilation and prints how far the losses are apart. MFU as in `dclm.train.throughput`.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

import numpy as np
import torch

from dclm.model.init import initial_weight
from dclm.train.data import Order
from dclm.train.loop import Trainer
from dclm.train.optim import make_optimizer
from dclm.train.parallel import build_model
from dclm.train.ranks import Ranks
from dclm.train.scale import Scale, find_scale
from dclm.train.throughput import model_flops_utilization, peak_flops

GOAL = 0.50


@dataclasses.dataclass(frozen=True)
class RandomTokens:
    """Rows that follow from their number, of tokens with the frequencies of a natural text (1/rank)."""

    seq_len: int
    vocab_size: int
    num_sequences: int = 1 << 20

    def rows(self, indices: np.ndarray) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(int(indices[0])))
        uniform = generator.random((len(indices), self.seq_len + 1))
        return np.minimum(self.vocab_size**uniform, self.vocab_size - 1).astype(np.int64)


def measure(scale: Scale, steps: int, compiled: bool) -> tuple[list[float], float, float]:
    """(losses, tokens/s, peak GiB) of `steps` updates; the first three are not timed."""
    torch.cuda.reset_peak_memory_stats()
    ranks = Ranks(device=torch.device("cuda"))
    loss_model = build_model(
        scale.model,
        scale.z_loss,
        ranks,
        lambda name, shape: initial_weight(name, shape, scale.model, 0),
        torch.bfloat16,
    )
    loss_model.train()
    if compiled:
        for block in loss_model.model.layers:
            block.compile()
    data = RandomTokens(scale.model.seq_len, scale.model.vocab_size)
    order = Order(num_sequences=data.num_sequences, batch_sequences=scale.batch_sequences, seed=0)
    trainer = Trainer(
        scale=scale, order=order, data=data, loss_model=loss_model, ranks=ranks,
        optimizer=make_optimizer(loss_model.parameters(), scale),
    )  # fmt: skip
    tokens = scale.batch_sequences * scale.model.seq_len
    losses, seconds = [], []
    for step in range(steps):
        torch.cuda.synchronize()
        started = time.perf_counter()
        sums = trainer.update(step)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        losses.append(float(sums[0]) / tokens)
    return losses, tokens / statistics.median(seconds[3:]), torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", nargs="+", default=["411m_1x", "1b_1x"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--micro", type=int, help="Sequences of a micro-batch; default: the scale's.")
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda")
    peak = peak_flops(device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, peak {peak}")
    for name in arguments.scales:
        scale = find_scale(name)
        micro = arguments.micro or scale.micro_batch_sequences
        scale = dataclasses.replace(scale, micro_batch_sequences=micro, batch_sequences=micro * arguments.micro_batches)
        results = {"compiled": measure(scale, arguments.steps, True)}
        if arguments.plain:
            torch.cuda.empty_cache()
            results["plain"] = measure(scale, arguments.steps, False)
        for kind, (losses, speed, memory) in results.items():
            line = f"{name} {kind}: {speed:,.0f} tokens/s, {memory:.1f} GiB, last loss {losses[-1]:.4f}"
            if peak is not None:
                share = model_flops_utilization(speed, scale.model.flops_per_token, peak, 1)
                line += f", MFU {share:.1%} (goal {GOAL:.0%}: {'met' if share >= GOAL else 'MISSED'})"
            print(line, flush=True)
        if arguments.plain:
            gaps = [abs(a - b) for a, b in zip(results["compiled"][0], results["plain"][0], strict=True)]
            print(f"{name}: losses of compiled and plain differ by at most {max(gaps):.4f}")


if __name__ == "__main__":
    main()
