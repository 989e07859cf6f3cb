"""The step that searches for evaluation items in documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from dedup_documents import ids, make_shards, table

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision
from dclm.curate.step import Context
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.serial import apply, decide

QUESTION = "What is the capital of the country whose flag shows three stripes and a star?"
ITEMS = [
    {"query": QUESTION, "choices": ["one", "a much longer choice " * 4], "gold": 0, "extra": {"passage": "p q r " * 6}},
    {"query": "too short", "choices": ["no"]},
    {"query": "Question: Who walked slowly over the bridge? Why did the old man smile?\nA. Luck\nB. The sun\nAnswer:"},
]
OTHER = [{"context": "one two three four five six seven eight nine ten eleven twelve thirteen", "continuation": "14"}]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for name, rows in (("first", ITEMS), ("other", OTHER)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return Context(files={name: str(tmp_path / f"{name}.jsonl.gz") for name in ("first", "other")})


def run(context: Context, texts: list[str], **fields: object) -> tuple[Decision, dict[int, str]]:
    """The decision, and the remaining texts by number."""
    documents = make_shards(texts)
    decision = decide(Decontaminate(items=("first", "other"), **fields), documents, context)  # type: ignore[arg-type]
    left = apply(decision, documents)
    kept = [t for shard in left for batch in shard for t in batch.column("text").to_pylist()]
    return decision, dict(zip(ids(left), kept, strict=True))


def test_documents_that_quote_an_item_are_dropped_and_reported_by_task(context: Context) -> None:
    quoted = "before " + QUESTION.upper().replace(" of ", ",  of\n") + " after"
    decision, left = run(context, ["nothing here", quoted, QUESTION[:40], "", "p q r " * 5, quoted])
    assert sorted(left) == [0, 2, 3]
    assert decision.info == {
        "documents": 3,
        "tasks": {
            "first": {"items": 3, "comparable": 2, "matched": 1, "documents": 3},
            "other": {"items": 1, "comparable": 1, "matched": 0, "documents": 0},
        },
    }
    rows = table(decision, "contamination").to_pylist()
    assert [(r["task"], r["item"]) for r in rows] == [("first", 0)] * 3


def test_reporting_changes_nothing_and_the_bound_is_inclusive(context: Context) -> None:
    decision, left = run(context, [QUESTION], action="report")
    assert left == {0: QUESTION}
    assert decision.info["documents"] == 1
    assert run(context, [QUESTION], min_matches=3)[1] == {}
    assert run(context, [QUESTION], min_matches=4)[1] == {0: QUESTION}


def test_masking_cuts_out_what_is_shared(context: Context) -> None:
    texts = [f"Before… {QUESTION} After.", QUESTION, f"ä {OTHER[0]['context']}, {OTHER[0]['context']}!", "clean"]
    decision, left = run(context, texts, action="mask")
    assert left == {0: "Before…  After.", 2: "ä", 3: "clean"}
    assert decision.drops.num_rows == 0
    assert decision.info["tasks"]["other"]["documents"] == 1  # type: ignore[index]


def test_a_question_contaminates_only_beside_one_of_its_options(context: Context) -> None:
    asked = "who WALKED slowly, over the bridge?  Why did the old man smile"
    texts = [
        asked,
        f"Luck! {asked}",
        f"{asked}: the sun, the sun.",
        f"{asked} sun",
        f"{QUESTION} two",
        f"{QUESTION} one",
    ]
    decision, left = run(context, texts, rule="question_option", action="mask")
    assert left == {0: asked, 3: f"{asked} sun", 4: f"{QUESTION} two"}
    tasks = decision.info["tasks"]
    assert tasks["first"] == {"items": 3, "comparable": 2, "matched": 2, "documents": 3}  # type: ignore[index]
    assert tasks["other"] == {"items": 1, "comparable": 1, "matched": 0, "documents": 0}  # type: ignore[index]


def test_the_last_sentence_of_a_question_is_enough_if_so_wished(context: Context) -> None:
    texts = ["Why did the old man smile? Luck, he said."]
    assert run(context, texts, rule="question_option")[1] == {0: texts[0]}
    assert run(context, texts, rule="question_option", last_sentence=True)[1] == {}


@pytest.mark.parametrize("rule", ["ngram", "question_option"])
@pytest.mark.parametrize("action", ["drop", "mask", "report"])
def test_extreme_corpora(context: Context, rule: str, action: str) -> None:
    whole = f"{QUESTION} one, says he"
    for texts, found in (([], 0), ([""], 0), ([whole] * 50, 50), ([f"{i} words" for i in range(50)], 0)):
        for shards in (1, 3):
            documents = make_shards(texts, shards)
            step = Decontaminate(items=("first", "other"), rule=rule, action=action)  # type: ignore[arg-type]
            decision = decide(step, documents, context)
            assert decision.info["documents"] == found
            left = ids(apply(decision, documents))
            assert len(left) == len(texts) - (found if action == "drop" else 0)


def test_items_that_cannot_be_looked_for_are_refused(context: Context) -> None:
    with pytest.raises(ConfigError, match="has 99 words"):
        run(context, ["text"], ngram=99)
    short = Decontaminate(items=("other",), rule="question_option")
    assert decide(short, make_shards([""]), context).info["documents"] == 0
    with pytest.raises(ConfigError, match="at least one file"):
        build(Decontaminate, parse_yaml("items: []"))
    with pytest.raises(ConfigError, match="two files of the same name"):
        build(Decontaminate, parse_yaml("items: [a/mmlu.jsonl, b/mmlu.jsonl.gz]"))
