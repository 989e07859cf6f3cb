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


def text_alone(model: Transformer, tokenizer: Tokenizer, prompt: tuple[int, ...], count: int) -> str:
    ids = one_by_one(model, prompt, count)
    return tokenizer.decode(ids[: ids.index(tokenizer.end_id)] if tokenizer.end_id in ids else ids)


def test_a_batch_gives_what_each_row_gives_alone(small_model: Transformer, letters: Tokenizer) -> None:
    prompts = [letters.encode(text) for text in ("a", "hello there, who are you", "one two", "x" * 40)]
    outputs = Generator(small_model, letters, 100).generate([Request(prompt=p, max_new_tokens=12) for p in prompts])
    for prompt, output in zip(prompts, outputs, strict=True):
        assert output == text_alone(small_model, letters, prompt, 12)


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


def test_rows_that_end_one_after_another_change_no_other(small_model: Transformer, letters: Tokenizer) -> None:
    prompts = [letters.encode(text) for text in ("abc", "z", "how now", "brown", "cow", "the", "end", "of", "it")]
    requests = [Request(prompt=p, max_new_tokens=2 * n + 1) for n, p in enumerate(prompts)]
    found = Generator(small_model, letters, 1000).generate(requests)
    for request, output in zip(requests, found, strict=True):
        assert output == text_alone(small_model, letters, request.prompt, request.max_new_tokens)


def test_a_beginning_that_many_prompts_share_is_read_once(small_model: Transformer, letters: Tokenizer) -> None:
    examples = letters.encode("Q: one? A: two. Q: two? A: three. Q: four? A: five. Q: ")
    tails = [letters.encode(text) for text in ("x?", "yes?", "a long question?", "1", "2", "3", "4?", "5?", "5?")]
    prompts = [letters.encode("no such example"), *((*examples, *tail) for tail in tails), examples]
    generator = Generator(small_model, letters, 64)
    outputs = generator.generate([Request(prompt=p, max_new_tokens=1) for p in prompts])
    assert outputs == [letters.decode(one_by_one(small_model, prompt, 1)) for prompt in prompts]
    begin = len(examples) - 1  # one token of each prompt is left to read
    assert generator.counts.forwarded == begin + sum(len(p) - begin for p in prompts[1:]) + len(prompts[0])
    assert len(examples) >= 48


def test_a_beginning_read_once_gives_the_texts_of_each_row_alone(small_model: Transformer, letters: Tokenizer) -> None:
    examples = letters.encode("How much wood would a woodchuck chuck if a woodchuck could chuck wood? ")
    prompts = [(*examples, *letters.encode("ab" * n)) for n in range(1, 12)]
    outputs = Generator(small_model, letters, 64).generate([Request(prompt=p, max_new_tokens=10) for p in prompts])
    for prompt, output in zip(prompts, outputs, strict=True):
        assert output == text_alone(small_model, letters, prompt, 10)
