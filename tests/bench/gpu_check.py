"""Checks and measures everything that needs a GPU, in at most eight minutes, and writes one JSON file.

    tests/bench/gpu_check.sh                     on one H100 or H200; writes out/gpu_check.json
    tests/bench/gpu_check.sh --dry-run           the same with tiny shapes on a CPU: nothing is measured

Each section runs in its own process and may use all of the time that is left. Results are written as soon as a section
ends, so a crash or a timeout does not affect the other sections. For a section that did not run, the reason is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch

from dclm.model.config import ModelConfig
from dclm.train.budget import Hardware, estimate_memory, largest_micro_batch
from dclm.train.scale import Scale, find_scale
from dclm.train.throughput import peak_flops
from tests.bench import bench_gpu

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 480
UPDATES, COMPARED, MICRO_BATCHES = 60, 50, 2
SCALES = ("411m_1x", "1b_1x")
TASKS = MappingProxyType({"arc_easy": 200, "hellaswag": 200})
LM_EVAL_BATCH = 64
DOCUMENTS, WORDS = 2_000, 500
LEAST_SECONDS = 15
"""A section that has less is not started."""
Results = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The sizes of models and data: those for a GPU, or tiny ones for a dry run."""

    dry: bool

    @property
    def device(self) -> str:
        return "cpu" if self.dry else "cuda"

    @property
    def scales(self) -> list[Scale]:
        if not self.dry:
            return [find_scale(name) for name in SCALES]
        model = ModelConfig(hidden_dim=32, num_layers=2, num_heads=2, seq_len=32, vocab_size=256)
        return [dataclasses.replace(find_scale("5m"), name="dry", model=model, batch_sequences=8)]


def environment(shapes: Shapes) -> Results:
    """Versions and hardware."""
    found: Results = {
        "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
        "cpu_cores": os.cpu_count(), "machine": platform.machine(),
    }  # fmt: skip
    if not shapes.dry:
        properties = torch.cuda.get_device_properties(0)
        free, total = torch.cuda.mem_get_info()
        driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        found |= {
            "gpu": properties.name, "capability": [properties.major, properties.minor], "free_bytes": free,
            "total_bytes": total, "peak_flops": peak_flops(torch.device("cuda")), "driver": driver.stdout.strip(),
            "flash_attention": torch.backends.cuda.flash_sdp_enabled(),
        }  # fmt: skip
    return found


def cuda_tests(shapes: Shapes) -> Results:
    """The tests that are skipped without CUDA: how many passed, failed and were skipped, and the names of failures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", f"--junitxml={report}", "tests/train"]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        case.get("name", "?") for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - len(failed) - skipped, "failed": failed, "skipped": skipped}


def train(shapes: Shapes, scale: Scale) -> Results:
    """One scale: speed, memory, losses beside the plain implementation, and where an update's time goes."""
    device = torch.device(shapes.device)
    free = 1 << 30 if shapes.dry else torch.cuda.mem_get_info()[0]
    micro = largest_micro_batch(scale, Hardware(), free)
    if micro is None:
        raise RuntimeError(f"{scale.name} does not fit into {free / 1e9:.0f} GB")
    updates, compared = (6, 4) if shapes.dry else (UPDATES, COMPARED)
    cut = dataclasses.replace(scale, micro_batch_sequences=micro, batch_sequences=micro * MICRO_BATCHES)
    ours = bench_gpu.measure(cut, updates, device, plain=False)
    peak = peak_flops(device)
    found: Results = {
        "micro_batch": micro, "tokens_per_update": cut.batch_sequences * cut.model.seq_len, "updates": updates,
        "tokens_per_second": ours.tokens_per_second, "mfu": bench_gpu.utilization(cut, ours, peak),
        "goal_mfu": bench_gpu.GOAL, "peak_gib": ours.peak_gib,
        "estimated_gib": estimate_memory(cut, Hardware()).total / 2**30, "losses": ours.losses[:compared],
        "time": bench_gpu.breakdown(cut, device, table=False),
        "waits": None if shapes.dry else bench_gpu.waits(cut, device),
    }  # fmt: skip
    small = dataclasses.replace(cut, micro_batch_sequences=max(1, micro // (2 * bench_gpu.PLAIN_PARTS)))
    plain = bench_gpu.measure(small, compared, device, plain=True)
    return found | {
        "plain_tokens_per_second": plain.tokens_per_second, "plain_losses": plain.losses,
        "loss_gap": bench_gpu.gap(ours, plain), "allowed_gap": bench_gpu.NOISE,
    }  # fmt: skip


def evaluate(shapes: Shapes) -> Results:
    """Multiple choice beside lm-eval's Hugging Face backend, on the same device; scores are compared, too."""
    from dclm.assets import fetch
    from dclm.eval.tokenizer import Tokenizer
    from tests.bench import bench_eval

    tokenizer = Tokenizer(fetch("gpt-neox-20b"))
    found: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        directory = bench_eval.random_model(
            Path(folder), width=32 if shapes.dry else 1024, layers=2 if shapes.dry else 24
        )
        for label, count in TASKS.items():
            rows = 1 if shapes.dry else count
            sizes = (1,) if shapes.dry else (LM_EVAL_BATCH,)
            line = bench_eval.measure(label, rows, directory, tokenizer, shapes.device, sizes)
            found[label] = {
                "rows": rows, "ours_seconds": line.ours_seconds, "lm_eval_seconds": line.theirs_seconds,
                "times_faster": line.theirs_seconds / line.ours_seconds, "tokens": line.forwarded, "least": line.least,
            }  # fmt: skip
    return found


def lm_score(shapes: Shapes) -> Results:
    """Documents per second of the step that scores with a language model; the model is random, of the first scale."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from dclm.model.init import initialize
    from dclm.model.transformer import Transformer
    from dclm.select.language_model.scorer import LanguageModelScorer

    config = shapes.scales[0].model
    model = initialize(Transformer(config), seed=0).to(shapes.device).eval()
    words = [f"w{number}" for number in range(config.vocab_size - 1)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    scorer = LanguageModelScorer(model, tokenizer, None, "gpu_check")
    count, length = (4, 20) if shapes.dry else (DOCUMENTS, WORDS)
    generator = np.random.Generator(np.random.Philox(0))
    texts = [" ".join(words[i] for i in generator.integers(0, len(words), length)) for _ in range(count)]
    scorer.sums(texts[: count // 10 + 1])
    started = time.perf_counter()
    sums = scorer.sums(texts)
    seconds = time.perf_counter() - started
    return {"documents": count, "tokens": int(sums.scored.sum()) + count, "documents_per_second": count / seconds}


def sections(shapes: Shapes) -> dict[str, Callable[[], Results]]:
    """Section → function, most important first."""
    training = {f"train {scale.name}": lambda scale=scale: train(shapes, scale) for scale in shapes.scales}
    return {
        "environment": lambda: environment(shapes), "cuda_tests": lambda: cuda_tests(shapes), **training,
        "evaluate": lambda: evaluate(shapes), "lm_score": lambda: lm_score(shapes),
    }  # fmt: skip


def run_all(shapes: Shapes, out: Path, seconds: float) -> int:
    """Run each section in its own process; returns the number of sections without a result."""
    end, results = time.monotonic() + seconds, {}
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in sections(shapes):
        started = time.monotonic()
        results[name] = run_one(name, shapes, end - started)
        results[name]["seconds"] = round(time.monotonic() - started, 1)
        temporary = out.with_suffix(".part")
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        temporary.replace(out)
        print(f"{name}: {json.dumps(results[name])[:300]}", flush=True)
    return sum("not_run" in result for result in results.values())


def run_one(name: str, shapes: Shapes, left: float) -> Results:
    """The results of one section, or the reason why there are none."""
    if left < LEAST_SECONDS:
        return {"not_run": f"{left:.0f} s were left"}
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "section.json"
        command = [sys.executable, "-m", "tests.bench.gpu_check", "--section", name, "--out", str(part)]
        try:
            done = subprocess.run(
                [*command, *(["--dry-run"] if shapes.dry else [])], cwd=ROOT, check=False, stdout=sys.stderr,
                stderr=subprocess.PIPE, text=True, timeout=left,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"not_run": f"not done after the {left:.0f} s that were left"}
        if not part.exists():
            return {"not_run": f"exit code {done.returncode}: {done.stderr[-2000:]}"}
        result: Results = json.loads(part.read_text(encoding="utf-8"))
        return result


def main() -> int:
    """Run all sections, or with `--section` one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out") / "gpu_check.json")
    parser.add_argument("--dry-run", action="store_true", help="Tiny shapes on a CPU.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Limit of all sections together.")
    parser.add_argument("--section")
    arguments = parser.parse_args()
    shapes = Shapes(dry=arguments.dry_run)
    if arguments.section:
        result = sections(shapes)[arguments.section]()
        arguments.out.write_text(json.dumps(result), encoding="utf-8")
        return 0
    return 1 if run_all(shapes, arguments.out, arguments.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
