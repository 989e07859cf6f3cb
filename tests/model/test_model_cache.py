"""Reading through a cache gives the logits of reading at once, regardless of padding and pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.model.config import ModelConfig
from dclm.model.init import initialize
from dclm.model.transformer import Transformer

SHAPE = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=64, vocab_size=31)
ROWS = 3


def whole(model: Transformer, row: list[int]) -> torch.Tensor:
    return model(torch.tensor([row]))[0]


def pad(rows: list[list[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [7] * (width - len(row)) for row in rows])


row = st.lists(st.integers(0, SHAPE.vocab_size - 1), min_size=1, max_size=9)
piece = st.lists(row, min_size=ROWS, max_size=ROWS)


@settings(deadline=None, max_examples=30)
@given(pieces=st.lists(piece, min_size=1, max_size=3))
def test_pieces_of_unequal_length_read_one_after_the_other_give_the_logits_of_the_whole(
    pieces: list[list[list[int]]],
) -> None:
    model = initialize(Transformer(SHAPE), 1).eval()
    cache = model.new_cache(ROWS, 64)
    read: list[list[int]] = [[] for _ in range(ROWS)]
    with torch.no_grad():
        for rows in pieces:
            found = model(pad(rows), cache=cache, lengths=torch.tensor([len(r) for r in rows]))
            for index, new in enumerate(rows):
                read[index] += new
                expected = whole(model, read[index])[-len(new) :]
                torch.testing.assert_close(found[index, : len(new)], expected, atol=1e-5, rtol=1e-4)
    assert cache.lengths.tolist() == [len(r) for r in read]


def test_a_selected_cache_is_independent_of_its_origin() -> None:
    model = initialize(Transformer(SHAPE), 2).eval()
    with torch.no_grad():
        cache = model.new_cache(2, 16)
        model(torch.tensor([[1, 2, 3], [4, 5, 0]]), cache=cache, lengths=torch.tensor([3, 2]))
        twice = cache.select(torch.tensor([1, 1, 0]), capacity=5)
        first = model(torch.tensor([[6], [7], [8]]), cache=twice)
        torch.testing.assert_close(first[0, 0], whole(model, [4, 5, 6])[-1])
        torch.testing.assert_close(first[1, 0], whole(model, [4, 5, 7])[-1])
        torch.testing.assert_close(first[2, 0], whole(model, [1, 2, 3, 8])[-1])
        again = model(torch.tensor([[9], [9]]), cache=cache)
        torch.testing.assert_close(again[1, 0], whole(model, [4, 5, 9])[-1])


def test_joined_caches_go_on_as_each_would_alone() -> None:
    model = initialize(Transformer(SHAPE), 2).eval()
    with torch.no_grad():
        long, short = model.new_cache(1, 4), model.new_cache(2, 2)
        model(torch.tensor([[1, 2, 3, 4]]), cache=long)
        model(torch.tensor([[5, 6], [7, 0]]), cache=short, lengths=torch.tensor([2, 1]))
        for caches, order in (((long, short), (0, 1, 2)), ((short, long), (1, 2, 0))):
            joined = caches[0].joined(caches[1:], capacity=6)
            rows = [[1, 2, 3, 4], [5, 6], [7]]
            for token in (8, 9):
                found = model(torch.full((3, 1), token), cache=joined)
                for row in rows:
                    row.append(token)
                for place, number in enumerate(order):
                    torch.testing.assert_close(found[place, 0], whole(model, rows[number])[-1], atol=1e-5, rtol=1e-4)
    assert (long.filled, short.filled) == (4, 2)


def test_a_full_cache_is_refused() -> None:
    model = initialize(Transformer(SHAPE), 2).eval()
    cache = model.new_cache(1, 4)
    with pytest.raises(AssertionError, match="full"):
        model(torch.zeros(1, 5, dtype=torch.long), cache=cache)
