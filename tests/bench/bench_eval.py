"""Scoring compared with lm-eval's Hugging Face backend, same model, same items, one core:
`python -m tests.bench.bench_eval`.

The model is random (the measurements do not depend on its weights), or the directory given as the only argument. Both
sides get the same prompts, so that only the forwarding differs. Seconds are CPU seconds of this process. `tokens` is
the number that ours forwards, including padding; `least` is the minimum for any method: each beginning of a text once,
also if several items have it.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from dclm.assets import fetch
from dclm.eval.data.load import load_parts
from dclm.eval.kinds.generation import max_new_tokens
from dclm.eval.prompts import Item, Span, build_items
from dclm.eval.run.forward import Scorer
from dclm.eval.run.generate import Generator
from dclm.eval.run.interface import Request
from dclm.eval.run.pack import least_tokens
from dclm.eval.run.plan import BATCH_TOKENS
from dclm.eval.task import load_task
from dclm.eval.tokenizer import Tokenizer
from dclm.model.load import load_model
from tests.bench.rows import report

WINDOW = 2048
ITEMS = {
    "arc_easy": 12, "hellaswag": 4, "piqa": 8, "commonsense_qa": 8, "mmlu_fewshot": 8, "lambada_openai": 24,
    "winogrande": 48,
}  # fmt: skip
GENERATED = {"triviaqa_sm_sub": 32, "svamp_cot": 16}
BATCH_SIZES = (1, 8)  # lm-eval gets the best of these
GENERATION_BATCH_SIZES = (8, 16, 32)


class Line(NamedTuple):
    """One task."""

    task: str
    ours_seconds: float
    theirs_seconds: float
    forwarded: int
    least: int
    theirs: int
    reference: int


def seconds(work: Callable[[], object], device: str = "cpu") -> float:
    """CPU seconds of one call; seconds, where a GPU does the work."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    work()
    return clock() - started


def random_model(folder: Path, width: int = 384, layers: int = 7) -> str:
    """A Llama with GPT-NeoX's vocabulary; by default of 12M parameters and as many in its head."""
    torch.manual_seed(0)
    heads = max(1, width // 64)
    config = LlamaConfig(
        hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=50_432, max_position_embeddings=WINDOW, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    disable_progress_bar()
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def measure(
    label: str, count: int, directory: str, tokenizer: Tokenizer, device: str = "cpu",
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Line:  # fmt: skip
    """Score the first `count` rows of one task both ways, and check that the scores agree."""
    task = load_task(label)
    items = build_items(task, load_parts(task), tokenizer, WINDOW, span=Span(0, count))
    scorer = Scorer(load_model(f"hf:{directory}", device).model, BATCH_TOKENS[device])
    pairs = [item.pairs for item in items]
    requests = [(("", ""), list(context), list(answer)) for item in items for context, answer in item.pairs]
    results: list[list[tuple[float, bool]]] = []
    times = []
    for lm in stock_models(directory, batch_sizes, device):
        times.append(
            seconds(lambda lm=lm: results.append(lm._loglikelihood_tokens(requests, disable_tqdm=True)), device)
        )
    scores = scorer.score(pairs)
    counts = scorer.counts.forwarded + scorer.counts.padding
    ours = seconds(lambda: scorer.score(pairs), device)
    flat = [score for answers in scores for score in answers]
    worst = max(abs(float(s.logprobs.sum()) - r[0]) for s, r in zip(flat, results[0], strict=True))
    assert worst < 0.01, f"{label}: scores differ by {worst}"
    return Line(label, ours, min(times), counts, least_tokens(pairs), _lm_eval_tokens(items), WINDOW * len(requests))


def measure_generation(label: str, count: int, directory: str, tokenizer: Tokenizer) -> Line:
    """Answer the first `count` questions of one task both ways."""
    task = load_task(label)
    parts = load_parts(task)
    items = build_items(task, parts, tokenizer, WINDOW, span=Span(0, count))
    longest = max_new_tokens(task, parts, tokenizer)
    stop = task.metadata.stop
    generator = Generator(load_model(f"hf:{directory}").model, tokenizer, BATCH_TOKENS["cpu"])
    requests = [Request(prompt=item.pairs[0][0], max_new_tokens=longest, stop=stop) for item in items]
    settings = {"until": list(stop), "max_gen_toks": longest, "do_sample": False, "temperature": 0.0}
    instances = [Instance("generate_until", {}, (item.text, settings), i) for i, item in enumerate(items)]
    models = stock_models(directory, GENERATION_BATCH_SIZES)
    times = [seconds(lambda lm=lm: lm.generate_until(instances, disable_tqdm=True)) for lm in models]
    ours = seconds(lambda: generator.generate(requests))
    prompts = [len(request.prompt) for request in requests]
    new = generator.counts.forwarded - sum(prompts)
    theirs = sum(prompts) + count * (longest - 1)
    counts = generator.counts.forwarded + generator.counts.padding
    return Line(label, ours, min(times), counts, sum(prompts) + new, theirs, count * (WINDOW - 1))


def stock_models(directory: str, batch_sizes: Sequence[int], device: str = "cpu") -> list[HFLM]:
    """lm-eval's backend, once per batch size."""
    backend = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32).to(device)
    stock = PreTrainedTokenizerFast(tokenizer_file=str(fetch("gpt-neox-20b")), eos_token="<|endoftext|>")
    stock.pad_token = stock.eos_token
    return [
        HFLM(pretrained=backend, tokenizer=stock, batch_size=size, max_length=WINDOW, device=device)
        for size in batch_sizes
    ]


def _lm_eval_tokens(items: list[Item]) -> int:
    """What lm-eval forwards: each pair, or one of those that differ only in the last token."""
    return sum(len(t) for t in {(*context, *answer[:-1]) for item in items for context, answer in item.pairs})


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tokenizer = Tokenizer(fetch("gpt-neox-20b"))
    with tempfile.TemporaryDirectory() as folder:
        directory = sys.argv[1] if len(sys.argv) > 1 else random_model(Path(folder))
        for label, count in (ITEMS | GENERATED).items():
            line = (measure_generation if label in GENERATED else measure)(label, count, directory, tokenizer)
            report(
                f"evaluate {label}",
                "CPU s",
                line.ours_seconds,
                beside="lm-eval's HF backend",
                theirs=line.theirs_seconds,
            )
            report(
                f"tokens forwarded, {label}", "tokens", line.forwarded, beside="lm-eval's HF backend",
                theirs=line.theirs, limit=line.least, limit_name="least possible",
            )  # fmt: skip
    print(
        "Where lm-eval forwards no more than the least (answers of one token), it reads a context once, as we do: what "
        "is gained there is its head, which it applies to every token, and we where a score is read."
    )


if __name__ == "__main__":
    main()
