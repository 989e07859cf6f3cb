"""Generation: batches, caches and early stops give the same as one row at a time."""

from __future__ import annotations

import torch

from dclm.eval.run.generate import Generator
from dclm.eval.run.interface import Request
from dclm.eval.tokenizer import Tokenizer
from dclm.model.transformer import Transformer


def one_by_one(model: Transformer, prompt: tuple[int, ...], count: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_a_batch_gives_what_each_row_gives_alone(small_model: Transformer, letters: Tokenizer) -> None:
    prompts = [letters.encode(text) for text in ("a", "hello there, who are you", "one two", "x" * 40)]
    outputs = Generator(small_model, letters, 100).generate([Request(prompt=p, max_new_tokens=12) for p in prompts])
    for prompt, output in zip(prompts, outputs, strict=True):
        expected = one_by_one(small_model, prompt, 12)
        if letters.end_id in expected:
            expected = expected[: expected.index(letters.end_id)]
        assert output == letters.decode(expected)


def test_a_stop_ends_its_row_and_no_other(small_model: Transformer, letters: Tokenizer) -> None:
    prompts = [letters.encode(text) for text in ("hello", "good morning to you")]
    free = Generator(small_model, letters, 1000).generate([Request(prompt=p, max_new_tokens=20) for p in prompts])
    stop = free[0][4]
    requests = [
        Request(prompt=p, max_new_tokens=20, stop=("\\" + stop,) if i == 0 else ()) for i, p in enumerate(prompts)
    ]
    stopped = Generator(small_model, letters, 1000).generate(requests)
    assert free[0].startswith(stopped[0])
    assert stopped[0].endswith(stop)
    assert len(stopped[0]) <= 5
    assert stopped[1] == free[1]


def test_rows_end_at_their_own_length(small_model: Transformer, letters: Tokenizer) -> None:
    prompt = letters.encode("abc")
    generator = Generator(small_model, letters, 1000)
    short, long = generator.generate([Request(prompt=prompt, max_new_tokens=n) for n in (3, 9)])
    assert long.startswith(short)
    assert len(letters.encode(short)) <= 3
