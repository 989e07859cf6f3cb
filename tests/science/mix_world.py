"""A world whose best mixture is known: three sources of generated text, for `dclm mix` to find it in by training.

Letters come in three groups, with a space before each. A text of one source takes `OWN` of its letters from its own
group and the rest from the others in equal parts, each document exactly, in random order. Models read one token to
predict the next, and every row is a space and a letter, so they can only learn how frequent each letter is in their
training text. If held-out texts of the sources have the importance v, the loss is the cross-entropy of letters in the
mixture v under those frequencies, and it is lowest for the model that was trained on the mixture v itself (Gibbs).
In an equal world all sources have the same letters, and no mixture is better than another.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from dclm.cli.main import dclm

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("one", "two", "three")
IMPORTANCE = (0.55, 0.3, 0.15)
"""Of the held-out texts; also the best mixture."""
PROXIES = 24
OWN = 0.6
GROUP = 4
LENGTH = 320
"""Letters in a document: a multiple of 20 · GROUP, so that all numbers of letters are whole."""
DOCUMENTS = 110
HELD_OUT = 2
SCALE = """
name: letters
model: {hidden_dim: 16, num_layers: 1, num_heads: 1, seq_len: 1, vocab_size: 257}
tokens: 30720
batch_sequences: 512
micro_batch_sequences: 512
warmup_steps: 5
learning_rate: 0.01
final_learning_rate: 0.0001
"""


def letters(source: int, equal: bool) -> str:
    """The letters of one document, in order."""
    alphabet = [chr(ord("a") + i) for i in range(GROUP * len(SOURCES))]
    other = (1 - OWN) / (len(SOURCES) - 1)
    shares = [1 / len(SOURCES) if equal else OWN if i == source else other for i in range(len(SOURCES))]
    times = [round(share * LENGTH / GROUP) for share in shares for _ in range(GROUP)]
    return "".join(letter * count for letter, count in zip(alphabet, times, strict=True))


def write_world(folder: Path, seed: int, equal: bool = False) -> Path:
    """Write the sources, the held-out texts, the recipe, the scale and the swarm; returns the swarm's path."""
    rng = np.random.default_rng((seed, equal))
    folder.mkdir(parents=True, exist_ok=True)
    for index, source in enumerate(SOURCES):
        text = list(letters(index, equal))
        for name, count in ((source, DOCUMENTS), (f"held-{source}", HELD_OUT)):
            lines = [
                json.dumps({"text": "".join(f" {c}" for c in rng.permutation(text)) + " "}) + "\n" for _ in range(count)
            ]
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "steps.yaml").write_text("name: all\nsteps:\n  - page_length: {of: word, min: 1}\n", encoding="utf-8")
    (folder / "scale.yaml").write_text(SCALE, encoding="utf-8")
    data = "".join(f"  - {{name: {s}, pool: {{jsonl: [{s}.jsonl]}}, pipeline: steps.yaml}}\n" for s in SOURCES)
    tokenizer = ROOT / "recipes" / "experiments" / "bytes.json"
    recipe = f"name: letters\ndata:\n{data}tokenizer: {tokenizer}\nscale: tiny\nepochs: 2\ntasks: [copa]\n"
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    held_out = "".join(f"  {s}: {{path: held-{s}.jsonl, documents: {HELD_OUT}}}\n" for s in SOURCES)
    swarm = f"name: letters\nrecipe: recipe.yaml\nscale: scale.yaml\nproxies: {PROXIES}\nseed: {seed}\nspread: 2\n"
    (folder / "swarm.yaml").write_text(f"{swarm}held_out:\n{held_out}", encoding="utf-8")
    return folder / "swarm.yaml"


def find_best(swarm: Path, out: Path) -> dict[str, Any]:
    """Train the swarm and find its best mixture, by the commands; returns what `dclm mix best --json` prints."""
    dclm.main(["mix", "swarm", str(swarm), "--out", str(out), "--workers", "1"], standalone_mode=False)
    tables = ["--mixtures", str(out / "mixtures.csv"), "--losses", str(out / "losses.csv")]
    targets = [f"--target={s}={v:g}" for s, v in zip(SOURCES, IMPORTANCE, strict=True)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        dclm.main(["mix", "best", *tables, *targets, "--json"], standalone_mode=False)
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


def is_inside(best: dict[str, Any]) -> bool:
    """Whether the known best share of every source is in its stated interval."""
    return all(s["low"] <= v <= s["high"] for s, v in zip(best["shares"], IMPORTANCE, strict=True))
