"""Scores against those of the reference, item by item."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from dclm.eval.data.load import load_parts
from dclm.eval.kinds.generation import max_new_tokens, right_answers
from dclm.eval.prompts import build_items
from dclm.eval.run.answers import cut_output, is_right, normalise
from dclm.eval.run.eval_model import EvalModel, load_eval_model, resolve_model
from dclm.eval.run.forward import Scorer
from dclm.eval.run.generate import Generator
from dclm.eval.run.interface import Request
from dclm.eval.task import load_task

TINY = [
    "agi_eval_lsat_rc", "arc_easy", "bigbench_operators", "boolq", "copa", "hellaswag", "jeopardy", "lambada_openai",
    "mmlu_fewshot", "pubmed_qa_labeled", "winograd", "winogrande",
]  # fmt: skip
TINY_GENERATED = ["triviaqa_sm_sub", "svamp_cot", "gsm8k_cot"]
SMOL = [
    "bbq", "bigbench_operators", "bigbench_qa_wikidata", "bigbench_strategy_qa", "copa", "hellaswag_zeroshot",
    "jeopardy", "lambada_openai", "openbook_qa", "simple_arithmetic_nospaces", "winogender_mc_female", "winograd",
]  # fmt: skip
SMOL_GENERATED = {"triviaqa_sm_sub": range(5), "svamp_cot": range(5), "gsm8k_cot": (6,)}
"""Rows to generate. That of gsm8k_cot soon stops; most others continue for all 424 tokens."""
SMOL_PART = 8
"""A real model takes time: it scores one in this many rows of the reference."""


def reference(folder: Path, model: str, label: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    path = folder / "conformance" / "eval" / "scores" / model / f"{label}.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return lines[0], lines[1:]


def check_scores(
    subject: EvalModel, folder: Path, model: str, label: str, exact_tokens: bool = False, part: int = 1
) -> None:
    """Same choice or same greedy match, and cross-entropies within 1e-4, as the conformance files require. `part`: only
    one in this many rows of a task, or of each of its categories.
    """
    meta, rows = reference(folder, model, label)
    limit = max(1, meta["limit_rows"] // part)
    expected = [row for row in rows if row["row"] < limit]
    task = load_task(label)
    items = build_items(task, load_parts(task), subject.tokenizer, meta["max_seq_len"], limit=limit)
    scores = Scorer(subject.model, 4096).score([item.pairs for item in items])
    assert len(items) == len(expected)
    for item, answers, row in zip(items, scores, expected, strict=True):
        means = [answer.mean_cross_entropy for answer in answers]
        if task.metadata.kind == "language_modeling":
            assert means[0] == pytest.approx(row["mean_ce"], abs=1e-4)
            assert answers[0].greedy == bool(row["correct"])
            if exact_tokens:
                assert answers[0].predicted.tolist() == row["pred_ids"]
        else:
            assert means == pytest.approx(row["mean_ce"], abs=1e-4)
            assert means.index(min(means)) == row["selected"]
            assert (row["selected"] == item.gold) == bool(row["correct"])


def check_outputs(
    subject: EvalModel, folder: Path, model: str, label: str, rows: Collection[int] | None = None
) -> None:
    """The generated text equals the reference's, up to a stop that let us end sooner, and is judged the same."""
    meta, found = reference(folder, model, label)
    expected = [row for row in found if rows is None or row["row"] in rows]
    task = load_task(label)
    details = task.metadata
    parts = load_parts(task)
    items = build_items(task, parts, subject.tokenizer, meta["max_seq_len"], limit=meta["limit_rows"])
    items = [item for item in items if rows is None or item.row in rows]
    longest = max_new_tokens(task, parts, subject.tokenizer)
    requests = [Request(prompt=i.pairs[0][0], max_new_tokens=longest, stop=details.stop) for i in items]
    outputs = Generator(subject.model, subject.tokenizer, 4096).generate(requests)
    for item, output, row in zip(items, outputs, expected, strict=True):
        assert longest == row["max_new_tokens"]
        assert row["output"].startswith(output)
        cleaned = normalise(cut_output(output, details.stop, details.cot_delimiter))
        assert cleaned == row["cleaned_output"]
        assert is_right(cleaned, right_answers(parts[0].originals[item.row])) == bool(row["correct"])


@pytest.mark.shared
def test_every_task_that_the_reference_scored_is_compared(shared: Path) -> None:
    folder = shared / "conformance" / "eval" / "scores"
    for model, compared in (("tiny_open_lm", TINY + TINY_GENERATED), ("smollm2_135m", [*SMOL, *SMOL_GENERATED])):
        found = {path.name.removesuffix(".jsonl.gz") for path in (folder / model).glob("*.jsonl.gz")}
        assert found == set(compared)


@pytest.mark.shared
@pytest.mark.parametrize("label", TINY)
def test_answers_of_the_random_model_score_as_in_the_reference(
    label: str, shared: Path, tiny_open_lm: EvalModel
) -> None:
    check_scores(tiny_open_lm, shared, "tiny_open_lm", label)


@pytest.mark.shared
@pytest.mark.parametrize("label", TINY_GENERATED)
def test_the_random_model_generates_what_the_reference_does(label: str, shared: Path, tiny_open_lm: EvalModel) -> None:
    check_outputs(tiny_open_lm, shared, "tiny_open_lm", label)


@pytest.fixture(scope="module")
def smollm() -> EvalModel:
    """A real model of 135M parameters: the positive control."""
    return load_eval_model(resolve_model("gguf:smollm2-135m"), "cpu", "float32")


@pytest.mark.shared
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("label", SMOL)
def test_answers_of_a_real_model_score_as_in_the_reference(label: str, shared: Path, smollm: EvalModel) -> None:
    check_scores(smollm, shared, "smollm2_135m", label, exact_tokens=True, part=SMOL_PART)


@pytest.mark.shared
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("label", SMOL_GENERATED)
def test_a_real_model_generates_what_the_reference_does(label: str, shared: Path, smollm: EvalModel) -> None:
    check_outputs(smollm, shared, "smollm2_135m", label, SMOL_GENERATED[label])
