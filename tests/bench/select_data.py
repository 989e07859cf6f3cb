"""What the benchmarks and checks of selecting steps share: real documents, opened steps, and CPU time."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer

from dclm.assets import resolve
from dclm.curate.step import Context, Map, MapFunction
from dclm.extract.wheels import unpack
from dclm.select.language_model.reference import model_path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))
SMOLLM2 = "gguf:smollm2-135m"
MINILM = "minilm-l6-v2"


def read(name: str, count: int | None = None) -> list[str]:
    """Texts of a file of DCLM_SHARED/text, at equal distances."""
    with gzip.open(SHARED / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return texts if count is None else [texts[i * len(texts) // count] for i in range(count)]


def mixed(count: int) -> list[str]:
    """Posts, questions and textbook chapters, one after the other."""
    each = [read(name, -(-count // 3)) for name in ("newsgroups20", "reddit_questions", "openstax_cnxml")]
    return [text for three in zip(*each, strict=True) for text in three][:count]


def context(step: Map) -> Context:
    """With the files of the step."""
    return Context(files={asset: str(resolve(asset, directories=True).path) for asset in step.assets})


def opened(step: Map) -> MapFunction:
    """The step's function."""
    return step.open(context(step))


def batch(texts: list[str]) -> pa.RecordBatch:
    """Documents with these texts."""
    return pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    started = time.process_time()
    function()
    return time.process_time() - started


def causal_model(name: str) -> tuple[Any, Tokenizer]:
    """transformers' own model of a GGUF asset, in float32, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    from dclm.select.language_model.score import LanguageModelScore

    directory = Path(model_path(name, context(LanguageModelScore(model=name))).removeprefix("hf:"))
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return model.eval(), Tokenizer.from_file(str(directory / "tokenizer.json"))


def encoder_directory() -> Path:
    """MiniLM, unpacked."""
    (weights,) = unpack(resolve(MINILM).path).rglob("model.safetensors")
    return weights.parent
