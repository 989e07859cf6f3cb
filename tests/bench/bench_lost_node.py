"""A node is lost in mid-training, on two simulated nodes of a Ray cluster: `python -m tests.bench bench_lost_node`.

Prints how long it takes until the run has recovered its progress, and how far its losses are from those of an
undisturbed run: the order of the data does not depend on the readers. `elastic` continues with the one remaining rank;
`replaced` needs two, and gets another node at once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from dclm.core.record import Record, describe_files, write_record
from dclm.model.config import ModelConfig
from dclm.train.distributed.launch_ray import launch_ray
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

STEPS = 1500
LOST_AFTER = 120
MODEL = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=16, vocab_size=97)
SCALE = Scale(
    name="bench", model=MODEL, tokens=STEPS * 8 * MODEL.seq_len, batch_sequences=8, warmup_steps=4, learning_rate=1e-3,
    micro_batch_sequences=4,
)  # fmt: skip
OPTIONS = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=50, timeout_seconds=300)


def write_tokens(out: Path) -> Path:
    """Random tokens, as many as the scale reads."""
    (out / "tokens").mkdir(parents=True)
    rows = np.random.default_rng(0).integers(0, MODEL.vocab_size, (STEPS * 8, MODEL.seq_len + 1)).astype("<u2")
    rows.tofile(out / "tokens" / "00000.bin")
    config = {"seq_len": MODEL.seq_len, "vocab_size": MODEL.vocab_size, "dtype": "uint16"}
    files = describe_files(out, {"tokens/00000.bin": len(rows)})
    write_record(out, Record(kind="tokens", name="random", fingerprint="random", config=config, counts={}, files=files))
    return out


def losses(out: Path) -> list[float]:
    """Losses of the updates so far, from complete lines only."""
    path = out / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line)["loss"] for line in lines]


def wait_for(out: Path, steps: int, process: multiprocessing.process.BaseProcess) -> float:
    """Seconds until this many updates are logged, or the run has ended."""
    started = time.monotonic()
    while len(losses(out)) < steps and process.is_alive():
        time.sleep(0.2)
    return time.monotonic() - started


def run_ranks(address: str, tokens: Path, out: Path, min_ranks: int | None) -> None:
    """The driver of the run: a separate process, so that this one can remove nodes in the meantime."""
    import ray

    ray.init(address=address, log_to_driver=False, logging_level="error")
    launch_ray(tokens, out, scale=SCALE, seed=1, options=OPTIONS, num_ranks=2, min_ranks=min_ranks)


def lose_a_node(kind: str, tokens: Path, out: Path) -> float:
    """Seconds from the loss until the run has recovered its progress."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    arguments = (cluster.address, tokens, out, 1 if kind == "elastic" else None)
    process = multiprocessing.get_context("spawn").Process(target=run_ranks, args=arguments)
    process.start()
    wait_for(out, LOST_AFTER, process)
    cluster.remove_node(node, allow_graceful=False)
    if kind == "replaced":
        cluster.add_node(num_cpus=1)
    time.sleep(1.0)  # pending output is written
    seconds = wait_for(out, len(losses(out)) + 1, process) + 1.0
    process.join()
    cluster.shutdown()
    if process.exitcode:
        raise SystemExit(f"{kind}: the run ended with {process.exitcode}")
    return seconds


def main() -> None:
    """Print the table."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    with tempfile.TemporaryDirectory() as folder:
        tokens = write_tokens(Path(folder) / "data")
        train(tokens, Path(folder) / "alone", scale=SCALE, seed=1, options=OPTIONS)
        expected = losses(Path(folder) / "alone")
        print(f"{'a node of two lost':20}{'s until further':>17}{'updates':>9}{'largest difference of a loss':>30}")
        for kind in ("elastic", "replaced"):
            out = Path(folder) / kind
            seconds = lose_a_node(kind, tokens, out)
            found = losses(out)
            worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
            print(f"{kind:20}{seconds:17.0f}{len(found):9}{worst:30.1e}", flush=True)


if __name__ == "__main__":
    main()
