"""Encoders compared with Hugging Face by ids and speed, on every text of DCLM_SHARED and on random Unicode.

    python -m tests.bench.bench_encoders [--strings 40000]

gigatoken is compared if it is installed. MB/s are per CPU second on one core; each encoder sees each text once.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import importlib.util
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dclm.assets import fetch
from dclm.tokens.tokenizer import BATTERY, Encoded, encode
from tests.bench.rows import report

Encode = Callable[[Sequence[str]], Encoded]
BATCH = 1024
PIECES = (
    *("<|endoftext|>", "<|padding|>", "  ", "    ", " \n", "\t", "'s", "'re"),
    *("é", "e\u0301", "\u0323", "日", "\u200d"),
)
RANGES = ((0, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x2FFF), (0x3000, 0xD7FF), (0xE000, 0x10FFFF))


def read_texts(folder: Path) -> list[str]:
    """Every text under `folder`: rows of JSON lines, lines of other files."""
    texts: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                texts += [json.loads(line).get("text") or line for line in lines]
        else:
            texts += path.read_text(encoding="utf-8").splitlines(keepends=True)
    return texts


def random_texts(count: int) -> list[str]:
    """Strings of up to 40 pieces, from all scripts and from text that tokenizers treat specially."""
    draw = random.Random(0)

    def piece() -> str:
        return draw.choice(PIECES) if draw.random() < 0.4 else chr(draw.randint(*draw.choice(RANGES)))

    return [*BATTERY, *("".join(piece() for _ in range(draw.randint(0, 40))) for _ in range(count))]


def encoders(path: str) -> dict[str, Encode]:
    found: dict[str, Encode] = {
        "Hugging Face": lambda texts: encode(path, "hf", texts),
        "fastokens": lambda texts: encode(path, "fast", texts),
    }
    if importlib.util.find_spec("gigatoken") is not None:
        gigatoken: Any = importlib.import_module("gigatoken").Tokenizer(path)

        def flat(texts: Sequence[str]) -> Encoded:
            layout = gigatoken.encode_batch(list(texts), parallel=False).layout
            offsets = np.asarray(layout.offsets).astype(np.int64)
            return Encoded(np.asarray(layout.content.data)[offsets[0] : offsets[-1]], offsets - offsets[0])

        found["gigatoken"] = flat
    return found


def run(function: Encode, texts: Sequence[str]) -> tuple[list[bytes], float]:
    """The ids of each text as bytes, and CPU seconds."""
    started = time.process_time()
    batches = [function(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    seconds = time.process_time() - started
    ids = [
        np.asarray(b.ids[low:high], np.uint32).tobytes()
        for b in batches
        for low, high in zip(b.offsets, b.offsets[1:], strict=False)
    ]
    return ids, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=40_000)
    arguments = parser.parse_args()
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"  # before the encoders start their threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    shared = Path(os.environ.get("DCLM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    path = str(fetch("gpt-neox-20b"))
    for what, texts in (
        ("real texts", read_texts(shared / "text")),
        ("random strings", random_texts(arguments.strings)),
    ):
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        judge: list[bytes] = []
        times: dict[str, float] = {}
        for name, function in encoders(path).items():
            ids, seconds = run(function, texts)
            judge = judge or ids
            different = sum(a != b for a, b in zip(ids, judge, strict=True))
            times[name] = seconds
            report(
                f"{name} on {what}, {different:,} of {len(texts):,} with other ids", "MB/s", megabytes / seconds,
                beside=next(iter(times)), theirs=megabytes / next(iter(times.values())),
            )  # fmt: skip


if __name__ == "__main__":
    main()
