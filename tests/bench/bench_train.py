"""Training speed and memory on this CPU, compared with `transformers`' Llama of the same shape. Each of (scale,
precision, library) runs in a separate process, in turns, on the same random tokens, with the same micro-batch, clipping
and fused AdamW. Reported: the best of the turns' median tokens/s by wall clock and by CPU time (which other work on the
machine disturbs less), and peak memory. Llama's loss has no z-loss. The core's peak is measured in the same processes,
with a large square matrix product and with the products of the model itself; with `--threads 1`, CPU seconds contain no
waiting for another thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dclm.model.init import initialize
from dclm.model.loss import _rows_at_once
from dclm.model.transformer import Transformer
from dclm.train.distributed.parallel import LossModel
from dclm.train.optim import MAX_GRAD_NORM, make_optimizer
from dclm.train.options import DTYPES
from dclm.train.scale import Scale, find_scale
from tests.bench.rows import report

GOAL = 1.15


def dclm_loss(scale: Scale, precision: str) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    model = initialize(Transformer(scale.model), seed=0).train()
    model.compute_dtype = None if precision == "fp32" else DTYPES[precision]
    loss_model = LossModel(model, scale.z_loss)
    return model, lambda rows: loss_model(rows, 1 / rows[:, 1:].numel()).loss


def llama_loss(scale: Scale, precision: str) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    import transformers

    shape = scale.model
    config = transformers.LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_dim,
        intermediate_size=shape.ffn_dim,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        max_position_embeddings=shape.seq_len,
        use_cache=False,
    )
    model = transformers.LlamaForCausalLM(config).train()

    def loss(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            targets = rows[:, 1:].contiguous()
            out = model(input_ids=rows[:, :-1], labels=targets, shift_labels=targets)
        result: Tensor = out.loss
        return result

    return model, loss


LIBRARIES = {"dclm": dclm_loss, "llama": llama_loss}


def measure(library: str, scale: Scale, precision: str, steps: int, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    model, loss = LIBRARIES[library](scale, precision)
    optimizer = make_optimizer(model.parameters(), scale)
    generator = torch.Generator().manual_seed(0)
    shape = (scale.micro_batch_sequences, scale.model.seq_len + 1)
    rows = torch.randint(0, scale.model.vocab_size, shape, generator=generator)
    wall, cpu = [], []
    for _ in range(steps + 1):
        before = time.perf_counter(), time.process_time()
        loss(rows).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    tokens = rows[:, 1:].numel()
    return {
        "tokens_per_second": tokens / statistics.median(wall[1:]),
        "tokens_per_cpu_second": tokens / statistics.median(cpu[1:]),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "matmul_flops": matmul_flops(precision),
        "own_matmul_flops": matmul_flops(precision, products(scale)),
    }


def matmul_flops(precision: str, shapes: Sequence[tuple[int, int, int]] = ((2048, 2048, 2048),)) -> float:
    """Floating-point operations per CPU second of matrix products [n, k] × [k, m], given as (n, k, m): what no update
    can exceed."""
    seconds = 0.0
    for (rows, inner, columns), count in Counter(shapes).items():
        left, right = (torch.randn(shape).to(DTYPES[precision]) for shape in ((rows, inner), (inner, columns)))
        least = float("inf")
        for _ in range(4):
            started = time.process_time()
            torch.mm(left, right)
            least = min(least, time.process_time() - started)
        seconds += count * least
    return 2 * sum(rows * inner * columns for rows, inner, columns in shapes) / seconds


def products(scale: Scale) -> list[tuple[int, int, int]]:
    """The products of an update, forward and backward: those of all blocks, and of the head chunk by chunk."""
    shape = scale.model
    tokens, width = scale.micro_batch_sequences * shape.seq_len, shape.hidden_dim
    rows = _rows_at_once(tokens, torch.empty(shape.vocab_size, width, device="meta"))
    pairs = [(width, 3 * width), (width, width), (width, 2 * shape.ffn_dim), (shape.ffn_dim, width)] * shape.num_layers
    parts = [(tokens, num_in, num_out) for num_in, num_out in pairs]
    parts += [(rows, width, shape.vocab_size)] * (tokens // rows)
    return [found for n, k, m in parts for found in ((n, k, m), (n, m, k), (m, n, k))]


def in_process(library: str, scale: str, precision: str, steps: int, threads: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "tests.bench.bench_train",
        "--child",
        library,
        "--scales",
        scale,
        "--precisions",
        precision,
    ]
    done = subprocess.run(
        [*command, "--steps", str(steps), "--threads", str(threads)], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(scale: str, precision: str, arguments: argparse.Namespace) -> None:
    turns: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
    for _ in range(arguments.turns):
        for library, results in turns.items():
            results.append(in_process(library, scale, precision, arguments.steps, arguments.threads))
    best = {library: {key: max(r[key] for r in results) for key in results[0]} for library, results in turns.items()}
    speeds = {library: [r["tokens_per_cpu_second"] for r in results] for library, results in turns.items()}
    peak = max(r["matmul_flops"] for results in turns.values() for r in results)
    report(
        f"train {scale}, {precision}", "tokens/CPU s", speeds["dclm"], beside="transformers' Llama",
        theirs=speeds["llama"], limit=peak / find_scale(scale).model.flops_per_token, limit_name="matmul peak",
    )  # fmt: skip
    own = [r["own_matmul_flops"] / 1e9 for r in turns["dclm"]]
    report(
        f"matrix products of {scale} alone, {precision}", "GFLOP/CPU s", own, limit=peak / 1e9, limit_name="matmul peak"
    )
    peaks = {library: [r["peak_mib"] for r in results] for library, results in turns.items()}
    report(f"memory of {scale}, {precision}", "MiB", peaks["dclm"], beside="transformers' Llama", theirs=peaks["llama"])
    ours, theirs = best["dclm"], best["llama"]
    ratio = ours["tokens_per_cpu_second"] / theirs["tokens_per_cpu_second"]
    verdict = "met" if ratio >= GOAL and ours["peak_mib"] <= theirs["peak_mib"] else "MISSED"
    print(
        f"{scale:>5} {precision} ratio {ours['tokens_per_second'] / theirs['tokens_per_second']:.2f} by wall,"
        f" {ratio:.2f} by CPU; goal {GOAL} at no more memory: {verdict}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", nargs="+", default=["5m", "12m"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        scale, precision = find_scale(arguments.scales[0]), arguments.precisions[0]
        print(json.dumps(measure(arguments.child, scale, precision, arguments.steps, arguments.threads)))
        return
    for scale in arguments.scales:
        for precision in arguments.precisions:
            compare(scale, precision, arguments)


if __name__ == "__main__":
    main()
