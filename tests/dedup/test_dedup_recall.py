"""How many planted evaluation items are found, typeset in every way that web pages use."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from dedup_documents import make_shards

from dclm.curate.step import Context
from dclm.dedup.decontaminate.item_index import item_overlap
from dclm.dedup.decontaminate.items import make_item
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.serial import decide

Rule = Literal["ngram", "question_option"]
NUM_ITEMS = 400
RECALL = 0.99
_VOCABULARY = """
the of and to in a is that for it was on are as with his they at be this from have or by one had not but what all were
when we there can an your which their said if do will each about how up out them officer definition flower naïve café
Müller's don't we're it's 1,000 3.5 U.S. well-known twenty-first e-mail O'Neil
"""
WORDS = _VOCABULARY.split()


def make_items(seed: int) -> list[dict[str, object]]:
    rng = random.Random(seed)
    items: list[dict[str, object]] = []
    for n in range(NUM_ITEMS):
        words = [f"{rng.choice(WORDS)}" for _ in range(rng.randint(18, 30))]
        for place in rng.sample(range(3, 15), 4):
            words[place] = rng.choice(
                [
                    f'"{words[place]}"',
                    f"({words[place]})",
                    f"{words[place]} -",
                    f"{words[place]},",
                    f"{words[place]}...",
                ]
            )
        words[2] = f"topic{n}"
        options = [f"{rng.choice(WORDS)} 'answer' {n}-{k}" for k in range(4)]
        items.append({"query": f"{' '.join(words)}?", "choices": options})
    return items


def typographic(text: str, rng: random.Random) -> str:
    text = re.sub(r'"([^"]*)"', lambda m: rng.choice(["“{}”", "„{}“", "« {} »", "‟{}”"]).format(m[1]), text)
    text = (
        text.replace("'", rng.choice("’‘ʼ＇"[:2] + "＇"))
        .replace("...", "…")
        .replace("?", rng.choice(["？", "?\u200b"]))
    )
    text = text.replace(" - ", rng.choice([" – ", " — ", "—"])).replace("-", rng.choice("‐‑–−"))
    text = text.replace("fi", "ﬁ").replace("fl", "ﬂ").replace("é", "e\u0301")
    middle = len(text) // 2
    return text[:middle].replace(" ", "\u00a0", 3) + rng.choice(["\u200b", "\u00ad", "\ufeff"]) + text[middle:]


def rewrapped(text: str, rng: random.Random) -> str:
    width = rng.randint(15, 40)
    lines = textwrap.wrap(text, width, break_long_words=False)
    return rng.choice(["\n", "\r\n", "\n   "]).join(lines)


VARIANTS: dict[str, Callable[[str, random.Random], str]] = {
    "plain": lambda text, rng: text,
    "typographic": typographic,
    "re-cased": lambda text, rng: rng.choice([text.upper(), text.title(), text.swapcase()]),
    "re-wrapped": rewrapped,
    "cut": lambda text, rng: " ".join(text.split()[rng.randint(1, 3) :][: -rng.randint(1, 2)]),
}


def pages(items: list[dict[str, object]], variant: str) -> list[str]:
    """One page per item: prose, the question, prose, an option, each typeset in the variant's way."""
    rng = random.Random(variant)
    found = []
    for item in items:
        choices = item["choices"]
        assert isinstance(choices, list)
        prose = [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(3)]
        option = choices[rng.randrange(4)]
        question = VARIANTS[variant](str(item["query"]), rng)
        option = option if variant == "cut" else VARIANTS[variant](option, rng)
        found.append(f"{prose[0]}\n\n{question}\n{prose[1]}\n{option}\n\n{prose[2]}")
    return found


def matched(
    items: list[dict[str, object]], texts: list[str], rule: Literal["ngram", "question_option"], at: Path
) -> int:
    file = at / "task.jsonl"
    file.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    step = Decontaminate(items=("task",), rule=rule, action="report")
    decision = decide(step, make_shards(texts, 2), Context(files={"task": str(file)}))
    tasks = decision.info["tasks"]
    assert isinstance(tasks, dict)
    return int(tasks["task"]["matched"])


@pytest.mark.parametrize("rule", ["ngram", "question_option"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_planted_items_are_found_however_they_are_set(tmp_path: Path, rule: Rule, variant: str) -> None:
    items, others = make_items(1), make_items(2)
    if (rule, variant) == ("question_option", "cut"):
        assert matched(items, pages(items, variant), rule, tmp_path) == 0  # this rule needs the whole question
        return
    assert matched(items, pages(items, variant), rule, tmp_path) >= RECALL * NUM_ITEMS
    assert matched(items, pages(others, variant), rule, tmp_path) <= (1 - RECALL) * NUM_ITEMS


def test_without_folding_typography_hides_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.dedup.decontaminate.item_index.NORMALIZATION", "lower_no_ascii_punctuation")
    items = make_items(1)
    assert matched(items, pages(items, "plain"), "ngram", tmp_path) >= RECALL * NUM_ITEMS
    assert matched(items, pages(items, "typographic"), "ngram", tmp_path) < 0.7 * NUM_ITEMS


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_overlap_of_a_corpus_with_items_sees_them_too(variant: str) -> None:
    items = make_items(1)
    found = item_overlap([[str(item["query"])] for item in items], [pa.array(pages(items, variant))])
    assert (found.found > 0).sum() >= RECALL * NUM_ITEMS


def real_items(shared: Path, task: str, count: int) -> list[dict[str, object]]:
    """The first rows of a task whose question and options can be searched for."""
    (file,) = (shared / "eval").rglob(f"{task}.jsonl.gz")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, count)]
    return [row for row in rows if len(make_item(row).question.split()) >= 20 and make_item(row).options]


def real_pages(rows: list[dict[str, object]], variant: str) -> list[str]:
    """One page per item, as in `pages`."""
    rng = random.Random(variant)
    found = []
    for row in rows:
        item = make_item(row)
        prose = [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(3)]
        question, option = (VARIANTS[variant](text, rng) for text in (item.question, item.options[0]))
        found.append(f"{prose[0]}\n\n{question}\n{prose[1]}\n{option or item.options[0]}\n\n{prose[2]}")
    return found


@pytest.mark.shared
@pytest.mark.parametrize("task", ["squad", "lambada_openai", "boolq"])
def test_items_of_real_tasks_are_found_however_they_are_set(shared: Path, tmp_path: Path, task: str) -> None:
    rows = real_items(shared, task, 300)
    assert len(rows) > 250
    rules: tuple[Rule, ...] = ("ngram", "question_option")
    found = {(v, rule): matched(rows, real_pages(rows, v), rule, tmp_path) for rule in rules for v in VARIANTS}
    del found["cut", "question_option"]  # which needs the whole question
    assert {pair: count for pair, count in found.items() if count < RECALL * len(rows)} == {}
