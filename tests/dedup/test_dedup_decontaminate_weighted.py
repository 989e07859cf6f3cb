"""Decontamination by weighted overlap: compared with plain Python, and on planted questions among common phrases."""

from __future__ import annotations

import json
import math
import re
import tempfile
from pathlib import Path

import pytest
from dedup_documents import ids, make_shards, table
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision
from dclm.curate.step import Context
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.decontaminate.weighted_step import DecontaminateWeighted
from dclm.dedup.serial import Shards, apply, decide

WORDS = st.lists(st.sampled_from("abcdef"), max_size=14)


def write(folder: Path, **tasks: list[str]) -> Context:
    files = {}
    for name, questions in tasks.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"query": q, "choices": ["yes", "no"]}) + "\n" for q in questions))
        files[name] = str(path)
    return Context(files=files)


def run(context: Context, texts: list[str], shards: int = 3, **fields: object) -> tuple[Decision, Shards]:
    documents = make_shards(texts, shards)
    step = DecontaminateWeighted(items=tuple(context.files), **fields)  # type: ignore[arg-type]
    return decide(step, documents, context), documents


def expected(questions: list[str], texts: list[str], n: int, least: float, weight: float) -> set[tuple[int, int]]:
    """(question, text) by the definition."""

    def grams(text: str) -> list[tuple[tuple[str, ...], int, int]]:
        words = [(m[0], *m.span()) for m in re.finditer(r"\S+", text)]
        runs = [words[i : i + n] for i in range(len(words) - n + 1)]
        return [(tuple(w for w, _, _ in run), run[0][1], run[-1][2]) for run in runs]

    found = set()
    all_texts = [grams(text) for text in texts]
    sets = [{g for g, _, _ in text} for text in all_texts]
    for q, question in enumerate(questions):
        mine = {g for g, _, _ in grams(question)}
        weights = {g: math.log((1 + len(texts)) / (1 + sum(g in s for s in sets))) for g in mine}
        total = sum(weights.values())
        for t, text in enumerate(all_texts):
            hits = [h for h in text if h[0] in mine]
            if not mine or total <= 0 or total < weight or 2 * len({g for g, _, _ in hits}) < len(mine):
                continue
            best = 0.0
            for i in range(len(hits)):
                inside: set[tuple[str, ...]] = set()
                for gram, _, end in hits[i:]:
                    if end - hits[i][1] > 2 * len(question):
                        break
                    inside.add(gram)
                    best = max(best, sum(weights[g] for g in inside) / total)
            if best >= least - 1e-9:
                found.add((q, t))
    return found


@settings(max_examples=30)
@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=6), st.integers(1, 3), st.integers(1, 3))
def test_what_is_found_is_what_the_definition_says(
    questions: list[list[str]], texts: list[list[str]], n: int, shards: int
) -> None:
    asked, told = [" ".join(q) or "?" for q in questions], [" ".join(t) for t in texts]
    with tempfile.TemporaryDirectory() as folder:
        context = write(Path(folder), task=[*asked, "z z z z z"])
        decision, documents = run(context, told, shards, ngram=n, min_overlap=0.62, min_weight=0.5, action="report")
    size = -(-max(len(told), 1) // shards)
    rows = table(decision, "contamination").to_pylist()
    assert {(r["item"], r["shard"] * size + r["row"]) for r in rows} == expected(asked, told, n, 0.62, 0.5)
    assert ids(apply(decision, documents)) == list(range(len(told)))


QUESTION = "In which year did the lighthouse of Kestrel Bay burn?"
COMMON = "which of the following is the best answer to the question"
TEXTS = [f"{COMMON} number{i} {i} words that fill page{i} nothing else" for i in range(200)]


def test_short_questions_are_found_and_common_phrases_are_not(tmp_path: Path) -> None:
    context = write(tmp_path, trivia=[QUESTION, "too short"], quiz=[f"{COMMON}?"])
    near = "Somebody asked: In which year did the old lighthouse of Kestrel Bay burn? Nobody knew."
    texts = [*TEXTS, QUESTION.upper(), near, "the lighthouse of Kestrel Bay is open in summer"]
    decision, documents = run(context, texts, min_overlap=0.7)
    assert set(range(len(texts))) - set(ids(apply(decision, documents))) == {200, 201}
    tasks = decision.info["tasks"]
    assert isinstance(tasks, dict)
    assert {k: v for k, v in tasks["trivia"].items() if k != "examples"} == {
        "items": 2,
        "comparable": 1,
        "matched": 1,
        "documents": 2,
    }
    best, other = tasks["trivia"]["examples"]
    assert (best["question"], best["text"], best["overlap"]) == (QUESTION, QUESTION.upper(), 1.0)
    assert 0.7 <= other["overlap"] < 1
    assert other["text"].startswith("In which year did the old lighthouse")
    assert tasks["quiz"] == {"items": 1, "comparable": 1, "matched": 0, "documents": 0, "examples": []}
    plain = Decontaminate(items=("trivia", "quiz"), ngram=3)
    assert len(ids(apply(decide(plain, documents, context), documents))) == 0  # common phrases match everything
    assert decision.drops["rule"].to_pylist() == ["trivia", "trivia"]


def test_a_question_scattered_over_a_long_text_is_not_found(tmp_path: Path) -> None:
    context = write(tmp_path, trivia=[QUESTION])
    words = QUESTION.split()
    scattered = " filler and more filler words here ".join(" ".join(words[i : i + 3]) for i in range(len(words) - 2))
    decision, documents = run(context, [*TEXTS, scattered])
    assert len(ids(apply(decision, documents))) == 201


def test_masking_cuts_out_the_stretch(tmp_path: Path) -> None:
    context = write(tmp_path, trivia=[QUESTION])
    decision, documents = run(context, [*TEXTS, f"before {QUESTION} after"], action="mask")
    left = [t for shard in apply(decision, documents) for b in shard for t in b.column("text").to_pylist()]
    assert left[-1] == "before  after"
    assert left[:-1] == TEXTS


def test_batches_and_shards_make_no_difference(tmp_path: Path) -> None:
    context = write(tmp_path, trivia=[QUESTION])
    texts = [*TEXTS[:50], QUESTION, *TEXTS[50:90]]
    step = DecontaminateWeighted(items=("trivia",))
    infos = [decide(step, make_shards(texts, 1, rows), context).info for rows in (1, 7, 100)]
    assert infos[0] == infos[1] == infos[2]
    assert infos[0]["documents"] == 1


def test_tasks_without_a_question_of_so_many_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no question in trivia has 30 words"):
        run(write(tmp_path, trivia=[QUESTION]), ["a"], ngram=30)
