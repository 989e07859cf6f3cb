"""Both directions with lm-eval, in complete runs: the same items have the same scores wherever the rules are the same.

The tokenizer is one of single bytes, so that tokenizing a prompt in one piece (lm-eval) or three (the reference) gives
the same ids, and nothing else can differ.
"""

from __future__ import annotations

import copy
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from eval_tasks import KINDS, ROWS
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import brier_score
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM

from dclm.core.errors import ConfigError, DataError
from dclm.eval.lm_eval.harness import DclmLM
from dclm.eval.run.eval_model import load_eval_model, model_fingerprint
from dclm.eval.run.stage import evaluate
from dclm.eval.run.unit import ITEMS
from dclm.eval.statistics.continuous import item_values
from dclm.eval.task import SUITE_DIR

START = "<|start|>"
FOREIGN = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: {kind}
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_choice: [one, a two, three]
doc_to_target: {target}
num_fewshot: {shots}
{more}
metric_list:
  - {{metric: {metric}, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, letters_file: Path) -> Path:
    """A random model in Hugging Face format, sharp enough to repeat itself now and then."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(5)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=272,
        max_position_embeddings=512, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    shutil.copyfile(letters_file, folder / "tokenizer.json")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "clean_up_tokenization_spaces": False}))
    return folder


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lm-eval's own task files: a choice, and a text to generate. Reading all shipped ones takes long."""
    monkeypatch.setattr("dclm.eval.lm_eval.harness.TaskManager", partial(TaskManager, include_defaults=False))
    folder = tmp_path / "foreign"
    folder.mkdir()
    rows = [{"question": f"What is {i}?", "answer": i % 3, "text": "one"} for i in range(12)]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    generation = "generation_kwargs: {until: [Z], max_gen_toks: 9, do_sample: false}"
    for name, kind, target, shots, more, metric in (
        ("pick", "multiple_choice", "answer", 2, "", "acc_norm"),
        ("write", "generate_until", "text", 0, generation, "exact_match"),
    ):
        content = FOREIGN.format(
            name=name, kind=kind, target=target, shots=shots, more=more, metric=metric, data=data, cache=tmp_path / "hf"
        )
        if kind == "generate_until":
            content = content.replace("doc_to_choice: [one, a two, three]\n", "")
        (folder / f"{name}.yaml").write_text(content)
    return folder


def items(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(out / "items.parquet").to_pylist()
    return rows


def test_our_suite_scores_the_same_behind_lm_evals_backend(llama: Path, tasks: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"tasks": tuple(ROWS), "device": "cpu", "folder": tasks}
    evaluate(f"hf:{llama}", tmp_path / "ours", **options)
    evaluate(f"lm-eval:hf,pretrained={llama},batch_size=3", tmp_path / "theirs", **options)
    for ours, theirs in zip(items(tmp_path / "ours"), items(tmp_path / "theirs"), strict=True):
        for name in ("task", "row", "correct", "selected", "output", "trimmed"):
            assert ours[name] == theirs[name]
        if KINDS[ours["task"]] == "language_modeling":
            assert theirs["scores"] == pytest.approx([sum(ours["scores"])], abs=1e-4)
        else:
            assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)


def test_our_suite_scores_the_same_under_the_stock_harness(llama: Path, tasks: Path, tmp_path: Path) -> None:
    evaluate(f"hf:{llama}", tmp_path / "ours", tasks=tuple(ROWS), device="cpu", folder=tasks)
    shutil.copytree(SUITE_DIR / "templates", tasks / "templates")
    arguments = {"pretrained": str(llama), "dtype": "float32"}
    manager = TaskManager(include_path=str(tasks), include_defaults=False, metadata=arguments)
    found = simple_evaluate(
        model="hf", model_args=arguments, device="cpu", tasks=list(ROWS), task_manager=manager, bootstrap_iters=0
    )
    theirs = {(task, s["doc"]["row"]): s for task, samples in found["samples"].items() for s in samples}
    ours = items(tmp_path / "ours")
    assert len(theirs) == len(ours)
    for item in ours:
        sample = theirs[item["task"], item["row"]]
        kind = KINDS[item["task"]]
        assert sample["acc"] == (item["category"] or "", item["correct"])
        if kind == "generation":
            assert sample["filtered_resps"] == [item["output"]]
            continue
        totals = [total for total, _ in sample["filtered_resps"]]
        assert totals == pytest.approx(item["logprobs"], abs=1e-4)
        if kind == "multiple_choice":
            mine = item_values(pa.Table.from_pylist([item], ITEMS))
            likelihoods = np.exp(np.array(totals)) / np.exp(totals).sum()
            assert mine["probability"][0] == pytest.approx(likelihoods[item["gold"]], abs=1e-4)
            assert mine["brier"][0] == pytest.approx(brier_score([(item["gold"], likelihoods)]), abs=1e-4)
        if kind == "language_modeling":
            assert totals == pytest.approx([sum(item["scores"])], abs=1e-4)
            continue
        answers = sample["doc"]["answers"] * (len(totals) if kind == "schema" else 1)
        lengths = [len(answer.replace(" a", "a")) for answer in answers]
        assert [-t / n for t, n in zip(totals, lengths, strict=True)] == pytest.approx(item["scores"], abs=1e-4)
    scores = json.loads((tmp_path / "ours" / "scores.json").read_text())
    for task in ROWS:
        assert found["results"][task]["acc,none"] == pytest.approx(scores["tasks"][task]["accuracy"])


def test_tasks_of_lm_evals_score_the_same_with_our_models(llama: Path, foreign: Path, tmp_path: Path) -> None:
    names = ("lm-eval:pick", "lm-eval:write")
    for out, model in (("ours", f"hf:{llama}"), ("theirs", f"lm-eval:hf,pretrained={llama}")):
        evaluate(model, tmp_path / out, tasks=names, device="cpu", include_path=foreign)
    ours, theirs = ((tmp_path / out / "lm_eval.jsonl").read_text().splitlines() for out in ("ours", "theirs"))
    assert ours == theirs
    assert len(ours) == 24
    scores, others = (json.loads((tmp_path / out / "scores.json").read_text()) for out in ("ours", "theirs"))
    assert scores["lm_eval"] == others["lm_eval"]
    assert scores["core_v2"] is None
    stock = simple_evaluate(
        model="hf", model_args={"pretrained": str(llama), "dtype": "float32"}, device="cpu", tasks=["pick", "write"],
        task_manager=TaskManager(include_path=str(foreign), include_defaults=False), bootstrap_iters=0,
    )  # fmt: skip
    assert stock["results"] == scores["lm_eval"]
    generated = [sample["filtered_resps"] for sample in stock["samples"]["write"]]
    assert len({text for texts in generated for text in texts}) > 1


@pytest.fixture(scope="module")
def opening(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a tokenizer that puts a special token before each text."""
    folder = tmp_path_factory.mktemp("opening") / "llama"
    shutil.copytree(llama, folder)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens([START])
    backend.post_processor = TemplateProcessing(f"{START} $A", special_tokens=[(START, backend.token_to_id(START))])
    backend.save(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": START}))
    return folder


def both_models(folder: Path) -> tuple[DclmLM, HFLM]:
    """A model as one of ours behind lm-eval's interface, and as lm-eval's own."""
    theirs = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=2)
    return DclmLM(load_eval_model(f"hf:{folder}", "cpu", "float32"), 2048), theirs


def ask(lm: DclmLM | HFLM, kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    """The model's answers to requests of a kind."""
    requests = [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]
    found: list[Any] = getattr(lm, kind)(requests, disable_tqdm=True)
    return found


@pytest.mark.parametrize("name", ["llama", "opening"])
def test_every_kind_of_request_is_answered_as_by_lm_evals_own_model(name: str, request: pytest.FixtureRequest) -> None:
    """Also at the edges of the window (512 tokens, one per letter), where one token more or less would change a
    score."""
    ours, theirs = both_models(request.getfixturevalue(name))
    letters = "how now brown cow " * 80
    pairs = [("", "bob"), (f"{START}o", "ok"), (" what ", "is it")]
    pairs += [(letters[:size], " an answer") for size in (500, 502, 503, 504, 600)]
    pairs += [(letters[:9], letters[:size]) for size in (509, 511, 512)]
    found, expected = (ask(lm, "loglikelihood", *pairs) for lm in (ours, theirs))
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [total for total, _ in found] == pytest.approx([total for total, _ in expected], abs=1e-3)
    texts = [(letters[:size],) for size in (1, 510, 511, 512, 513, 514, 1023, 1024, 1025, 1400)]
    found, expected = (ask(lm, "loglikelihood_rolling", *texts) for lm in (ours, theirs))
    assert found == pytest.approx(expected, abs=1e-2)
    settings: list[dict[str, Any]] = [
        {"until": [], "max_gen_toks": 20}, {"until": ["Z", "q"], "max_new_tokens": 30, "temperature": 0.0},
        {"until": "w", "max_tokens": 7, "do_sample": False},
    ]  # fmt: skip
    prompts = [(letters[:size], each) for size in (1, 491, 492, 493, 520) for each in settings]
    found, expected = (ask(lm, "generate_until", *map(copy.deepcopy, prompts)) for lm in (ours, theirs))
    assert found == expected


def test_what_does_not_fit_the_window_is_refused(llama: Path) -> None:
    ours, _ = both_models(llama)
    with pytest.raises(DataError, match="found an answer of 513 tokens, allowed: 1 to 512"):
        ask(ours, "loglikelihood", ("a", "b" * 513))
    with pytest.raises(ConfigError, match="found max_gen_toks 512, allowed: less than 512"):
        ask(ours, "generate_until", ("a", {"until": [], "max_gen_toks": 512}))


def test_a_changed_task_file_or_model_is_other_work(llama: Path, foreign: Path, tmp_path: Path) -> None:
    model = f"lm-eval:hf,pretrained={llama}"
    options: dict[str, Any] = {"tasks": ("lm-eval:pick",), "device": "cpu", "include_path": foreign}
    first = evaluate(model, tmp_path / "out", **options)
    assert evaluate(model, tmp_path / "out", **options) == first
    path = foreign / "pick.yaml"
    path.write_text(path.read_text().replace("num_fewshot: 2", "num_fewshot: 1"))
    assert evaluate(model, tmp_path / "out", **options, force=True).fingerprint != first.fingerprint
    moved = shutil.copytree(llama, tmp_path / "moved")
    assert model_fingerprint(f"lm-eval:hf,pretrained={moved}") == model_fingerprint(model)
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert model_fingerprint(f"lm-eval:hf,pretrained={moved}") != model_fingerprint(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lm-eval:hff,pretrained=nowhere", "lm-eval cannot load it"),
        ("lm-eval:hf,pretrained=/nowhere/at/all", "lm-eval cannot load it"),
        ("lm-eval:dummy", "accepts only text, but our prompts are tokens"),
    ],
)
def test_a_backend_that_cannot_score_tokens_is_named(model: str, message: str, tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(model, tmp_path / "out", tasks=("tell",), device="cpu", folder=tasks)


def test_a_backend_of_text_alone_runs_lm_evals_tasks(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.models.dummy.DummyLM.tokenizer", None)  # its own data is on the network
    evaluate("lm-eval:dummy", tmp_path / "out", tasks=("lm-eval:write",), device="cpu", include_path=foreign)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["lm_eval"]["write"]["exact_match,none"] == 0.0
    assert scores["tasks"] == {}


def test_a_wrong_name_is_told_before_anything_is_scored(llama: Path, foreign: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean `pick`"):
        evaluate(f"hf:{llama}", tmp_path / "out", tasks=("lm-eval:pikc",), device="cpu", include_path=foreign)
    with pytest.raises(ConfigError, match="lm-eval provides only its scores"):
        load_eval_model(f"lm-eval:hf,pretrained={llama}", "cpu", "float32")
