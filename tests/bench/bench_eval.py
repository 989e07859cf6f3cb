"""Scoring compared with lm-eval's Hugging Face backend, same model, same items, one core:
`python -m tests.bench.bench_eval`.

The model is random (the measurements do not depend on its weights), or the directory given as the only argument. Both
sides get the same prompts, so that only the forwarding differs. Seconds are CPU seconds of this process. `tokens` is
the number that ours forwards, including padding; `least` is the minimum for any method: each beginning of a text once,
also if several items have it.
"""

from __future__ import annotations

import dataclasses
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
from dclm.eval.prompts import Item, Span, build_items, prompt_texts
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
GENERATED = {("triviaqa_sm_sub", False): 32, ("svamp_cot", False): 16, ("svamp_cot", True): 32}
"""(Task, whether all questions come after the same examples) → number of questions."""
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
    prompts_seconds: float | None = None
    """For generation, ours up to the first token of each answer."""


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


def measure_generation(label: str, same: bool, count: int, directory: str, tokenizer: Tokenizer) -> Line:
    """Answer the first `count` questions of one task both ways, each after examples of its own or all after the `same`,
    as in most of lm-eval's tasks."""
    task = load_task(label)
    parts = load_parts(task)
    questions = list(prompt_texts(task, parts, tokenizer.prefix_space(), span=Span(0, count)))
    texts = [(questions[0] if same else q).examples + q.contexts[0] for q in questions]
    ids = tokenizer.encode_all(texts)
    longest = max_new_tokens(task, parts, tokenizer)
    stop = task.metadata.stop
    generator = Generator(load_model(f"hf:{directory}").model, tokenizer, BATCH_TOKENS["cpu"])
    requests = [Request(prompt=prompt, max_new_tokens=longest, stop=stop) for prompt in ids]
    settings = {"until": list(stop), "max_gen_toks": longest, "do_sample": False, "temperature": 0.0}
    instances = [Instance("generate_until", {}, (text, settings), i) for i, text in enumerate(texts)]
    models = stock_models(directory, GENERATION_BATCH_SIZES)
    times = [seconds(lambda lm=lm: lm.generate_until(instances, disable_tqdm=True)) for lm in models]
    ours = seconds(lambda: generator.generate(requests))
    firsts = [dataclasses.replace(request, max_new_tokens=1) for request in requests]
    prompts_seconds = seconds(lambda: Generator(generator.model, tokenizer, BATCH_TOKENS["cpu"]).generate(firsts))
    theirs = sum(map(len, ids)) + count * (longest - 1)
    counts = generator.counts.forwarded + generator.counts.padding
    prefill = least_tokens([[(prompt, (0,))] for prompt in ids])
    least = prefill + count * (longest - 1)
    return Line(label, ours, min(times), counts, least, theirs, count * (WINDOW - 1), prompts_seconds)


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


def _report(line: Line) -> None:
    report(
        f"evaluate {line.task}", "CPU s", line.ours_seconds, beside="lm-eval's HF backend", theirs=line.theirs_seconds,
        limit=line.prompts_seconds, limit_name=None if line.prompts_seconds is None else "prompts and first tokens",
    )  # fmt: skip
    report(
        f"tokens forwarded, {line.task}", "tokens", line.forwarded, beside="lm-eval's HF backend",
        theirs=line.theirs, limit=line.least, limit_name="least possible",
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tokenizer = Tokenizer(fetch("gpt-neox-20b"))
    with tempfile.TemporaryDirectory() as folder:
        directory = sys.argv[1] if len(sys.argv) > 1 else random_model(Path(folder))
        for label, count in ITEMS.items():
            _report(measure(label, count, directory, tokenizer))
        for (label, same), count in GENERATED.items():
            line = measure_generation(label, same, count, directory, tokenizer)
            _report(line._replace(task=f"{label}, same examples" if same else label))
    print(
        "Where lm-eval forwards no more than the least (answers of one token), it reads a context once, as we do: what "
        "is gained there is its head, which it applies to every token, and we where a score is read."
    )


if __name__ == "__main__":
    main()
