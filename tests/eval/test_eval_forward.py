"""Sharing common parts changes the number of forwarded tokens, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dclm.core.errors import DataError
from dclm.eval.run.forward import Scorer
from dclm.eval.run.interface import NotFinite
from dclm.eval.run.pack import least_tokens
from dclm.eval.run.tree import Pair, plan
from dclm.model.transformer import Transformer

Items = list[list[Pair]]
IDS = st.lists(st.integers(0, 5), min_size=1, max_size=6).map(tuple)


@st.composite
def some_items(draw: st.DrawFn) -> Items:
    """Items whose choices, contexts and passages overlap in every way that occurs in tasks."""
    passage = tuple(draw(st.lists(st.integers(0, 5), min_size=0, max_size=60)))
    items: Items = []
    for _ in range(draw(st.integers(1, 6))):
        context = (passage if draw(st.booleans()) else ()) + draw(IDS)
        if draw(st.booleans()):
            items.append([(context, answer) for answer in draw(st.lists(IDS, min_size=1, max_size=4))])
        else:
            answer = draw(IDS)
            begins = draw(st.sampled_from([context, ()]))  # contexts may differ from the first token on
            items.append([(begins + draw(IDS), answer) for _ in range(2)])
    return items


def plain_scores(model: Transformer, pair: Pair) -> list[float]:
    context, answer = pair
    with torch.inference_mode():
        logits = model(torch.tensor([context + answer]))[0, len(context) - 1 : -1]
        return (-F.cross_entropy(logits, torch.tensor(answer), reduction="none")).tolist()


@settings(max_examples=40, deadline=None)
@given(items=some_items(), batch_tokens=st.sampled_from([8, 64, 4096]), packs=st.booleans())
@example(items=[[((0,), (0,)), ((0,), (0, 0)), ((0,), (0, 0, 0))]], batch_tokens=8, packs=False)
def test_every_score_is_that_of_a_plain_pass(
    small_model: Transformer, items: Items, batch_tokens: int, packs: bool
) -> None:
    shared = Scorer(small_model, batch_tokens)
    shared.packs = packs
    alone = Scorer(small_model, batch_tokens, share=False)
    for answers, others, pairs in zip(shared.score(items), alone.score(items), items, strict=True):
        for answer, other, pair in zip(answers, others, pairs, strict=True):
            expected = plain_scores(small_model, pair)
            np.testing.assert_allclose(answer.logprobs, expected, atol=2e-5)
            np.testing.assert_allclose(other.logprobs, expected, atol=2e-5)
            assert answer.greedy == other.greedy
    assert shared.counts.forwarded <= alone.counts.forwarded
    runs = [run for pairs in items for run in plan([pairs])]
    assert least_tokens(items) <= shared.counts.forwarded <= sum(run.count() for run in runs)


@given(items=some_items())
def test_a_forest_reads_every_prediction_once_and_nothing_twice(items: Items) -> None:
    forest = plan(items)
    wanted: list[tuple[int, int, int]] = []

    def visit(run, before) -> None:  # type: ignore[no-untyped-def]
        path = before + run.tokens
        for want in run.wants:
            context, answer = items[want.item][want.pair]
            assert path[: len(before) + want.position + 1] == context + answer[: want.token]
            assert want.target == answer[want.token]
            wanted.append((want.item, want.pair, want.token))
        for child in run.children:
            visit(child, path)

    for root in forest:
        visit(root, ())
    assert sorted(wanted) == sorted(
        (i, p, t) for i, pairs in enumerate(items) for p, (_, answer) in enumerate(pairs) for t in range(len(answer))
    )


def test_one_token_choices_cost_their_context_alone(small_model: Transformer) -> None:
    context = tuple(range(50))
    scorer = Scorer(small_model, 4096)
    scorer.score([[(context, (choice,)) for choice in range(4)]])
    assert scorer.counts.forwarded == 50


def test_items_that_share_a_passage_read_it_once(small_model: Transformer) -> None:
    passage = tuple(i % 7 for i in range(100))
    items = [[((*passage, i, i), (3, 4))] for i in range(8)]
    scorer = Scorer(small_model, 4096)
    scorer.score(items)
    assert scorer.counts.forwarded == 100 + 8 * 3


def test_short_texts_of_several_items_read_each_beginning_once(small_model: Transformer) -> None:
    """Two sentences about the same two people, as in winogrande: contexts are shared by items, answers begin alike."""
    contexts = [(*range(10), person) for person in (20, 21)]
    items = [[(context, (30, 31, last)) for context in contexts] for last in (32, 33)]
    scorer = Scorer(small_model, 4096)
    scorer.score([*items, [((7, 8, 9), (5,))]])
    assert scorer.counts.forwarded == 10 + 2 * 3 + 3 == least_tokens(items) + 3
    assert scorer.counts.padding == 0


def test_a_token_beyond_the_vocabulary_is_named(small_model: Transformer) -> None:
    with pytest.raises(DataError, match=r"id 900.*272 logits"):
        Scorer(small_model, 64).score([[((900,), (1,))]])


def test_a_logit_that_is_not_finite_names_its_item(small_model: Transformer) -> None:
    broken = Transformer(small_model.config)
    broken.load_state_dict(small_model.state_dict())
    with torch.no_grad():
        broken.output.weight[5] = float("nan")
    with pytest.raises(NotFinite) as caught:
        Scorer(broken.eval(), 64).score([[((1, 2), (3,))]])
    assert caught.value.item == 0
