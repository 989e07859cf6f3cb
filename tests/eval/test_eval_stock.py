"""Both directions with lm-eval: our suite as its tasks, our models as its model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from dclm.assets import fetch
from dclm.core.errors import ConfigError
from dclm.eval.data.load import load_parts
from dclm.eval.lm_eval.harness import DclmLM
from dclm.eval.lm_eval.stock import mean_of_categories
from dclm.eval.prompts import build_items
from dclm.eval.run.eval_model import EvalModel
from dclm.eval.run.forward import Scorer
from dclm.eval.task import SUITE_DIR, load_task
from dclm.eval.tokenizer import Tokenizer
from dclm.model.config import ModelConfig
from dclm.model.init import initialize
from dclm.model.transformer import Transformer


@pytest.fixture(scope="module")
def subject(neox: Tokenizer) -> EvalModel:
    config = ModelConfig(hidden_dim=32, num_layers=2, num_heads=2, seq_len=2048, vocab_size=50_432)
    return EvalModel(model=initialize(Transformer(config), seed=1).eval(), tokenizer=neox)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source from which lm-eval's tasks load a tokenizer."""
    folder = tmp_path_factory.mktemp("neox")
    shutil.copyfile(fetch("gpt-neox-20b"), folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}'
    )
    return folder


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("label", ["copa", "winogrande", "lambada_openai"])
def test_a_task_under_lm_eval_judges_items_as_ours_does(label: str, subject: EvalModel, tokenizer_folder: Path) -> None:
    """On tasks without examples and with words as answers, joint and separate tokenization mostly agree."""
    metadata = {"tokenizer": str(tokenizer_folder)}
    manager = TaskManager(include_path=str(SUITE_DIR), include_defaults=False, metadata=metadata)
    stock = manager.load([label])["tasks"][label]
    stock.build_all_requests(limit=12)
    requests: list[Instance] = stock.instances
    lm = DclmLM(subject, 2048)
    results = lm.loglikelihood(requests, disable_tqdm=True)
    task = load_task(label)
    items = build_items(task, load_parts(task), subject.tokenizer, 2048, limit=12)
    scores = Scorer(subject.model, 2048).score([item.pairs for item in items])
    by_row: dict[int, list[tuple[float, bool]]] = {}
    for request, result in zip(requests, results, strict=True):
        by_row.setdefault(request.doc["row"], []).append(result)
    compared = 0
    for item, answers in zip(items, scores, strict=True):
        theirs = by_row[item.row]
        sums = [float(answer.logprobs.sum(dtype="float64")) for answer in answers]
        if [total for total, _ in theirs] == pytest.approx(sums, abs=1e-3):
            compared += 1
            doc = next(r.doc for r in requests if r.doc["row"] == item.row)
            means = [answer.mean_cross_entropy for answer in answers]
            right = (
                answers[0].greedy if task.metadata.kind == "language_modeling" else means.index(min(means)) == item.gold
            )
            assert stock.process_results(doc, theirs)["acc"] == (item.category, right)
    assert compared >= 10


def test_requests_with_one_context_forward_it_once(subject: EvalModel) -> None:
    lm = DclmLM(subject, 2048)
    requests = [(None, list(range(5, 45)), [choice]) for choice in (7, 8, 9)]
    results = lm._loglikelihood_tokens(requests)
    assert lm.scorer.counts.forwarded == 40
    with torch.inference_mode():
        logprobs = torch.log_softmax(
            subject.model.head(subject.model.forward_hidden(torch.arange(5, 45)[None]))[0, -1], -1
        )
    assert [total for total, _ in results] == pytest.approx([float(logprobs[c]) for c in (7, 8, 9)], abs=1e-4)


def test_generation_under_lm_eval_is_cut_before_the_stop(subject: EvalModel) -> None:
    def ask(**settings: object) -> str:
        instance = Instance("generate_until", {}, ("Hello there", {"max_gen_toks": 8, **settings}), 0)
        return DclmLM(subject, 2048).generate_until([instance], disable_tqdm=True)[0]

    free = ask(until=[])
    stop = free[len(free) // 2]
    assert ask(until=[stop]) == free.split(stop)[0]
    with pytest.raises(ConfigError, match="greedy"):
        ask(do_sample=True, temperature=0.7)


def test_whole_texts_are_scored_in_windows(subject: EvalModel) -> None:
    lm = DclmLM(subject, 2048)
    text = "one two three " * 4
    instance = Instance("loglikelihood_rolling", {}, (text,), 0)
    ids = lm.tok_encode(text)
    (expected, _), *_ = lm._loglikelihood_tokens([(None, [lm.eot_token_id], ids)])
    assert lm.loglikelihood_rolling([instance]) == pytest.approx([expected], abs=1e-3)


def test_the_mean_over_categories_is_not_weighted() -> None:
    assert mean_of_categories([("a", True), ("b", False), ("b", False), ("b", True)]) == pytest.approx(2 / 3)
