"""Makes an attacker's model files: code planted where a loader might run it, and false sizes."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import fasttext
import numpy as np
import torch
from safetensors.torch import save_file

from dclm.core.errors import DclmError


class Payload:
    """Unpickled, it writes the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"echo run > '{self.marker}'",)


def pickled(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def assert_refused(error: DclmError, marker: Path) -> None:
    """Check that the error has at most three short lines and that the planted code has not run."""
    lines = str(error).splitlines()
    assert 2 <= len(lines) <= 3
    assert max(map(len, lines)) < 1000
    assert "Traceback" not in str(error)
    assert not marker.exists()


def checkpoint(folder: Path, **changes: int) -> Path:
    """A directory with the config.json of a small model, with these numbers changed."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "seq_len": 16, "vocab_size": 97} | changes
    (folder / "config.json").write_text(json.dumps({"format": "dclm-openlm", "model": model}))
    return folder


def huggingface(folder: Path, **changes: object) -> Path:
    """A Llama of a few numbers in Hugging Face format, with entries of its config.json changed."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32, "max_position_embeddings": 32,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file({"model.norm.weight": torch.ones(16)}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def classifier(folder: Path, *, loss: str = "softmax", quantized: bool = False) -> Path:
    """A fastText model of two labels."""
    text = folder / "train.txt"
    generator = np.random.Generator(np.random.Philox(0))
    lines = [f"__label__{'hq' if i % 2 else 'lq'} " + " ".join(f"w{n}" for n in generator.integers(0, 400, 12)) for i in
             range(400)]  # fmt: skip
    text.write_text("\n".join(lines))
    model = fasttext.train_supervised(
        str(text), dim=8, epoch=1, bucket=1000, minn=2, maxn=3, loss=loss, thread=1, verbose=0
    )
    if quantized:
        model.quantize(input=str(text), cutoff=300, retrain=False, qnorm=True)
    path = folder / f"{loss}-{quantized}.bin"
    model.save_model(str(path))
    return path


def mutations(data: bytes, seed: int, count: int) -> list[bytes]:
    """`data` truncated, with a flipped bit, or with a false number."""
    generator = np.random.Generator(np.random.Philox(seed))
    head = min(len(data), 2000)
    found = []
    for number in range(count):
        at = int(generator.integers(0, len(data) if number % 2 else head))
        if number % 4 == 0:
            found.append(data[:at])
        elif number % 4 == 1:
            found.append(data[:at] + bytes([data[at] ^ (1 << int(generator.integers(0, 8)))]) + data[at + 1 :])
        else:
            lie = struct.pack("<i", int(generator.choice([-1, 0, 2**31 - 1, -(2**31), 10**9, 7])))
            found.append((data[:at] + lie + data[at + 4 :])[: len(data)])
    return found


def run_limited(
    code: str, *arguments: str, memory: int = 4 << 30, seconds: int = 60
) -> subprocess.CompletedProcess[str]:
    """Python code in a separate process with limited address space and CPU time."""
    limits = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({memory},) * 2); "
        f"resource.setrlimit(resource.RLIMIT_CPU, ({seconds},) * 2); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", limits + code, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
