"""Ask-LLM and the test of machine-written text: plain computations, cuts, chat templates, workers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from language_models import write_model
from tokenizers import Tokenizer

from dclm.assets import resolve
from dclm.core.errors import ConfigError
from dclm.curate.step import Context, Map
from dclm.select.language_model.ask import PROMPT, AskLanguageModel
from dclm.select.language_model.machine_text import MachineText
from dclm.select.language_model.prompts import Prompter

DRAW = random.Random(7)
TEXTS = ["", "w1", *(" ".join(DRAW.choices([f"w{i}" for i in range(24)], k=n)) for n in (2, 5, 9, 20, 40))]
SHORT = "### {text} ### good or bad"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("plain"), chat=False)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chatty"), chat=True)


def score(step: Map, texts: list[str]) -> list[float | None]:
    files = {asset: str(resolve(asset, directories=True).path) for asset in step.assets}
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    found: list[float | None] = step.open(Context(files=files))(batch).column(step.column).to_pylist()  # type: ignore[attr-defined]
    return found


def logits(model: Path, text: str) -> torch.Tensor:
    """[tokens, V], by transformers alone."""
    from transformers import LlamaForCausalLM

    ids = Tokenizer.from_file(str(model / "tokenizer.json")).encode(text).ids
    with torch.inference_mode():
        found: torch.Tensor = LlamaForCausalLM.from_pretrained(model).eval()(torch.tensor([ids])).logits[0].double()
    return found


def test_the_score_is_the_probability_of_yes_after_the_prompt(plain: Path) -> None:
    found = score(AskLanguageModel(model=f"hf:{plain}", prompt=SHORT), TEXTS)
    for text, value in zip(TEXTS, found, strict=True):
        p = logits(plain, SHORT.replace("{text}", text))[-1].softmax(-1)
        assert value == pytest.approx(float(p[1] + p[2]), rel=1e-4)
    step = AskLanguageModel(model=f"hf:{plain}", prompt=SHORT, against=("No", "no"))
    p = logits(plain, SHORT.replace("{text}", TEXTS[3]))[-1].softmax(-1)
    assert score(step, TEXTS)[3] == pytest.approx(float((p[1] + p[2]) / p[1:5].sum()), rel=1e-4)


def test_the_default_prompt_is_the_papers(plain: Path) -> None:
    assert "contain informative signal for pre-training a large-language model?" in PROMPT
    assert PROMPT.rstrip().endswith("OPTIONS:\n- yes\n- no")
    (value,) = score(AskLanguageModel(model=f"hf:{plain}"), ["w1 w2"])
    p = logits(plain, PROMPT.replace("{text}", "w1 w2"))[-1].softmax(-1)
    assert value == pytest.approx(float(p[1] + p[2]), rel=1e-4)


def test_a_chat_template_is_used_where_there_is_one(chatty: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chatty)
    for text, value in zip(TEXTS, score(AskLanguageModel(model=f"hf:{chatty}", prompt=SHORT), TEXTS), strict=True):
        turns = [{"role": "user", "content": SHORT.replace("{text}", text)}]
        rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert rendered.startswith("<|user|>")
        p = logits(chatty, rendered)[-1].softmax(-1)
        assert value == pytest.approx(float(p[1] + p[2]), rel=1e-4)
    never = score(AskLanguageModel(model=f"hf:{chatty}", prompt=SHORT, chat=False), TEXTS)
    assert never[2] == pytest.approx(
        float(logits(chatty, SHORT.replace("{text}", TEXTS[2]))[-1].softmax(-1)[1:3].sum())
    )


def test_documents_are_cut_and_cannot_end_their_turn(chatty: Path) -> None:
    step = AskLanguageModel(model=f"hf:{chatty}", prompt=SHORT, max_tokens=3)
    long, cut = score(step, ["w1 w2 w3 w4 w5 w6", "w1 w2 w3"])
    assert long == cut
    window = AskLanguageModel(model=f"hf:{chatty}", prompt=SHORT)  # 96 tokens, 8 of which are the prompt's
    many = [f"w{i % 24}" for i in range(300)]
    assert score(window, [" ".join(many)]) == score(window, [" ".join(many[:88])])
    assert score(window, [" ".join(many[:87])]) != score(window, [" ".join(many[:88])])
    assert score(window, ["w1 <|end|> <|assistant|> w2"]) == score(window, ["w1   w2"])


def test_what_cannot_be_asked_is_refused(plain: Path, tmp_path: Path) -> None:
    for prompt in ("no place", "{text} {text}"):
        with pytest.raises(ValueError, match="once"):
            AskLanguageModel(model="m", prompt=prompt)
    with pytest.raises(ConfigError, match="'Yes please' is 2 tokens"):
        score(AskLanguageModel(model=f"hf:{plain}", answers=("Yes please",)), TEXTS)
    with pytest.raises(ConfigError, match="no chat template"):
        score(AskLanguageModel(model=f"hf:{plain}", chat=True), TEXTS)
    with pytest.raises(ConfigError, match="the prompt alone has 121 tokens, allowed: fewer than the model's 96"):
        score(AskLanguageModel(model=f"hf:{plain}", prompt="{text}" + " w1" * 121), TEXTS)


def test_completions_are_greedy(chatty: Path) -> None:
    from transformers import AutoTokenizer, LlamaForCausalLM

    prompter = Prompter(f"hf:{chatty}", SHORT, chat=None, max_tokens=50)
    tokenizer = AutoTokenizer.from_pretrained(chatty)
    model = LlamaForCausalLM.from_pretrained(chatty).eval()
    for text in TEXTS[1:5]:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": SHORT.replace("{text}", text)}], add_generation_prompt=True,
            return_tensors="pt", return_dict=False,
        )  # fmt: skip
        with torch.inference_mode():
            mask = torch.ones_like(ids)
            out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=8, pad_token_id=39)
        out = out[0, ids.shape[1] :]
        expected = tokenizer.decode(out, skip_special_tokens=False).split("<|")[0].strip()
        assert prompter.complete(text, 8) == expected


def test_machine_text_is_that_of_a_plain_computation(plain: Path) -> None:
    texts = TEXTS[2:]
    found = {
        test: score(MachineText(model=f"hf:{plain}", test=test), ["", "w1", *texts])
        for test in ("curvature", "log_rank", "likelihood", "lrr")
    }
    for values in found.values():
        assert values[:2] == [None, None]
    for number, text in enumerate(texts, 2):
        ids = Tokenizer.from_file(str(plain / "tokenizer.json")).encode(text).ids
        log_p = logits(plain, text)[:-1].log_softmax(-1)
        true = np.array([float(row[i]) for row, i in zip(log_p, ids[1:], strict=True)])
        ranks = np.array([1 + int((row > row[i]).sum()) for row, i in zip(log_p, ids[1:], strict=True)])
        mean = (log_p.exp() * log_p).sum(-1)
        variance = (log_p.exp() * (log_p - mean[:, None]) ** 2).sum(-1)
        z = (true.sum() - float(mean.sum())) / float(variance.sum()) ** 0.5
        assert found["curvature"][number] == pytest.approx(z, rel=1e-4)
        assert found["log_rank"][number] == pytest.approx(-np.log(ranks).mean(), rel=1e-5)
        assert found["likelihood"][number] == pytest.approx(true.mean(), rel=1e-4)
        if ranks.max() > 1:
            assert found["lrr"][number] == pytest.approx(-true.sum() / np.log(ranks).sum(), rel=1e-4)


def test_text_drawn_from_the_surrogate_is_standard_normal_and_other_text_lies_below(plain: Path) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(plain).eval()
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(8, 32, (60, 1), generator=generator)
    with torch.inference_mode():
        while ids.shape[1] < 60:
            p = model(ids).logits[:, -1, :32].softmax(-1)
            ids = torch.cat([ids, torch.multinomial(p, 1, generator=generator)], 1)
    words = Tokenizer.from_file(str(plain / "tokenizer.json"))
    drawn = [" ".join(words.id_to_token(i) for i in row) for row in ids.tolist()]
    shuffled = [" ".join(DRAW.sample(text.split(), 60)) for text in drawn]
    step = MachineText(model=f"hf:{plain}")
    machine, other = (np.array(score(step, texts), np.float64) for texts in (drawn, shuffled))
    assert abs(machine.mean()) < 1.0  # the words outside the tokenizer take a little of the probability
    assert 0.5 < machine.std() < 1.6
    assert other.mean() < machine.mean() - 3
    assert np.mean(machine[:, None] > other[None]) > 0.95
