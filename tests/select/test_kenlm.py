"""KenLM scores: CCNet's normalization and formula, and Kneser-Ney models compared with counting by hand."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.errors import AssetError, DataError
from dclm.curate.step import Context
from dclm.select.classifier.spec import TextSource
from dclm.select.ngram.kneser_ney import FALLBACK, estimate, write_arpa
from dclm.select.ngram.normalize import ccnet_normalize
from dclm.select.ngram.score import KenlmScore, load_kenlm, whitespace_tokens
from dclm.select.ngram.train import NgramSpec, train_ngram

kenlm = pytest.importorskip("kenlm")
DRAW = random.Random(3)
WORDS = [f"w{i}" for i in range(30)]
CORPUS = [DRAW.choices(WORDS, [1 / (i + 1) for i in range(30)], k=DRAW.randint(1, 25)) for _ in range(120)]


def score(step: KenlmScore, texts: list[str]) -> pa.RecordBatch:
    files = {asset: asset for asset in step.assets}
    return step.open(Context(files=files))(pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())}))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.arpa"
    write_arpa(estimate(CORPUS, 3), path)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Crème BRÛLÉE, 1999 ", "creme brulee, 0000"),
        ("０２３４５６７８９ ٣", "000000000 0"),
        ("，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％", ',.,"""""""""\'::?!();- - . ~\'...-<>[]%'),
        ("one\ntwo\tthree", "onetwothree"),
        ("\n", ""),
    ],
)
def test_text_is_normalized_as_in_ccnet(text: str, expected: str) -> None:
    assert ccnet_normalize(text) == expected


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_normalization_is_that_of_one_rule_after_the_other(text: str) -> None:
    plain = "".join(c for c in unicodedata.normalize("NFD", text.strip().lower()) if unicodedata.category(c) != "Mn")
    plain = re.sub(r"\d", "0", plain)
    if plain.isascii():  # the table of punctuation has its own test
        assert ccnet_normalize(text) == re.sub(r"[\x00-\x1f\x7f]", "", plain)


@given(st.text(st.one_of(st.sampled_from("  \t\n\x1c\x85\xa0a1Z"), st.characters(codec="utf-8")), max_size=30))
def test_words_are_those_between_whitespace_in_ascii_and_elsewhere(text: str) -> None:
    sentence, count = whitespace_tokens(text)
    assert sentence.split() == text.split()
    assert sentence.encode().split() == [word.encode() for word in text.split()]  # as KenLM cuts it
    assert count == len(text.split())


def test_the_worked_example() -> None:
    """Bigrams of "a b" and "a c", by hand: no counts of counts, so the discounts are 0.5, 1 and 1.5.

    Continuation counts: a 1 (after <s>), b 1, c 1, </s> 2 (after b and c); the total is 5. Discounts take 0.5 from each
    of a, b and c and 1 from </s>: the backoff is 2.5 / 5. Uniform: 1 / 5 (a, b, c, </s>, <unk>).
    """
    found = estimate([["a", "b"], ["a", "c"]], 2)
    unigrams = dict(zip(found.words, found.orders[0].probability.tolist(), strict=True))
    assert found.orders[0].discounts == FALLBACK
    once = 0.5 / 5 + 0.5 / 5
    assert unigrams == pytest.approx({"<unk>": 0.1, "<s>": 0, "</s>": 1 / 5 + 0.1, "a": once, "b": once, "c": once})
    names = [found.words[i] for i in found.orders[1].prefix]
    after = dict(zip(zip(names, [found.words[i] for i in found.orders[1].word], strict=True),
                     found.orders[1].probability.tolist(), strict=True))  # fmt: skip
    # "a b" once of 2 after a: (1 − 0.5) / 2 + (0.5 + 0.5) / 2 · p(b); "<s> a" twice of 2: (2 − 1) / 2 + 1 / 2 · p(a)
    assert after[("a", "b")] == pytest.approx(0.25 + 0.5 * once)
    assert after[("<s>", "a")] == pytest.approx(0.5 + 0.5 * once)
    assert after[("b", "</s>")] == pytest.approx(0.5 + 0.5 * 0.3)


def plain_kneser_ney(sentences: list[list[str]], order: int) -> tuple[dict[tuple[str, ...], float], set[str]]:
    """Counts by dictionaries: p(word | context) of every n-gram that occurs, straight from the formula."""
    raw: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        marked = ["<s>", *sentence, "</s>"]
        for n in range(1, order + 1):
            raw[n].update(tuple(marked[i : i + n]) for i in range(len(marked) - n + 1))
    vocabulary = {gram[0] for gram in raw[1]} - {"<s>"} | {"<unk>"}
    probability: dict[tuple[str, ...], float] = {(): 1 / len(vocabulary)}
    for n in range(1, order + 1):
        count: dict[tuple[str, ...], int] = dict(raw[n])
        if n < order:
            left = Counter(gram[1:] for gram in raw[n + 1])
            count = {gram: raw[n][gram] if gram[0] == "<s>" else left[gram] for gram in raw[n]}
        if n == 1:
            count = {gram: c for gram, c in count.items() if gram != ("<s>",)}
        t = Counter(count.values())
        d = FALLBACK
        if t[1] and t[2] and t[3]:
            y = t[1] / (t[1] + 2 * t[2])
            tried = [k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)]
            d = tuple(tried) if all(0 <= x <= k for k, x in enumerate(tried, 1)) else d  # type: ignore[assignment]
        grams = set(count) | ({(w,) for w in vocabulary} if n == 1 else set())
        for gram in grams:
            context = [c for g, c in count.items() if g[:-1] == gram[:-1]]
            taken = sum(d[min(c, 3) - 1] for c in context)
            own = count.get(gram, 0)
            kept = own - (d[min(own, 3) - 1] if own else 0)
            probability[gram] = (kept + taken * probability[gram[1:]]) / sum(context)
    return probability, vocabulary


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_plain_counting(order: int) -> None:
    found = estimate(CORPUS, order)
    expected, vocabulary = plain_kneser_ney(CORPUS, order)
    names: list[tuple[str, ...]] = [()]
    number = 0
    for level in found.orders:
        pairs = zip(level.prefix.tolist(), level.word.tolist(), strict=True)
        names = [(*names[prefix], found.words[word]) for prefix, word in pairs]
        for name, value in zip(names, level.probability.tolist(), strict=True):
            if name != ("<s>",):
                assert value == pytest.approx(expected[name], rel=1e-9), name
                number += 1
    assert number == len(expected) - 1  # without the empty one
    assert set(found.words) == vocabulary | {"<s>"}


def test_kenlm_reads_the_file_and_every_context_sums_to_one(model: str) -> None:
    loaded = load_kenlm(Path(model))
    vocabulary = [*WORDS, "</s>", "unseen"]
    for context in ("", "w0", "w0 w1", "w29 w28", "unseen w3"):
        whole = loaded.score(context, bos=True, eos=False)
        after = [loaded.score(f"{context} {word}".strip(), bos=True, eos=False) - whole for word in vocabulary]
        assert sum(10**value for value in after) == pytest.approx(1, abs=1e-5)


def test_a_better_order_predicts_held_out_text_better(tmp_path: Path) -> None:
    cycle = [[WORDS[(start + i) % 30] for i in range(20)] for start in range(30)] + [WORDS[::2], WORDS[::-1]]
    found = []
    for order in (2, 3):
        write_arpa(estimate(cycle, order), tmp_path / f"{order}.arpa")
        step = KenlmScore(model=str(tmp_path / f"{order}.arpa"))
        found.append(score(step, [" ".join(WORDS[5:25])]).column("kenlm_perplexity")[0].as_py())
    assert found[0] > found[1]


def test_the_formula_is_ccnets(model: str) -> None:
    loaded = load_kenlm(Path(model))
    texts = ["W1  w2 w99", "w0 w0\nw5 w6", "", "  \n", "w3"]
    whole = score(KenlmScore(model=model), texts).column("kenlm_perplexity").to_pylist()
    lines = score(KenlmScore(model=model, per_line=True), texts).column("kenlm_perplexity").to_pylist()
    assert whole[2:4] == lines[2:4] == [None, None]
    assert whole[0] == pytest.approx(10 ** (-loaded.score("w0 w0 w00") / 4), rel=1e-5)
    assert whole[1] == pytest.approx(10 ** (-loaded.score("w0 w0w0 w0") / 4), rel=1e-5)  # digits are 0, lines meet
    assert lines[1] == pytest.approx(10 ** (-2 * loaded.score("w0 w0") / 6), rel=1e-5)
    raw = score(KenlmScore(model=model, normalize=False), texts).column("kenlm_perplexity").to_pylist()
    assert raw[1] == pytest.approx(10 ** (-loaded.score("w0 w0 w5 w6") / 5), rel=1e-5)


def test_parts_are_named_by_the_cuts(model: str) -> None:
    texts = ["w0 w1", "w9 w9 w9", "zebra yak", ""]
    plain = score(KenlmScore(model=model, normalize=False), texts).column("kenlm_perplexity").to_pylist()
    low, middle, high = sorted(plain[:3])
    step = KenlmScore(model=model, normalize=False, part_column="part", cuts=(middle, high))
    expected = {low: "head", middle: "middle", high: "tail", None: None}
    assert score(step, texts).column("part").to_pylist() == [expected[value] for value in plain]


def test_sentencepiece_cuts_the_text(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    lines = [" ".join(sentence) for sentence in CORPUS]
    with (tmp_path / "sp.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, vocab_size=24, model_type="bpe", minloglevel=2
        )
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    tokenizer = str(tmp_path / "sp.model")
    spec = NgramSpec(texts=(TextSource(path=str(tmp_path / "texts.jsonl")),), order=3, tokenizer=tokenizer)
    train_ngram(spec, tmp_path / "out")
    arpa = str(tmp_path / "out" / "model.arpa")
    (found,) = score(KenlmScore(model=arpa, tokenizer=tokenizer), [lines[0]]).column("kenlm_perplexity").to_pylist()
    pieces = sentencepiece.SentencePieceProcessor(model_file=tokenizer).encode(ccnet_normalize(lines[0]), out_type=str)
    assert len(pieces) > len(CORPUS[0])
    log10 = load_kenlm(Path(arpa)).score(" ".join(pieces))
    assert found == pytest.approx(10 ** (-log10 / (len(pieces) + 1)), rel=1e-5)


def test_training_is_reproducible_and_reused(tmp_path: Path) -> None:
    rows = [{"text": " ".join(sentence)} for sentence in CORPUS]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = NgramSpec(texts=(TextSource(path=str(tmp_path / "texts.jsonl"), max_documents=50),), order=2)
    first, second = train_ngram(spec, tmp_path / "one"), train_ngram(spec, tmp_path / "two")
    assert [f.sha256 for f in first.files] == [f.sha256 for f in second.files]
    before = (tmp_path / "one" / "model.arpa").stat().st_mtime_ns
    assert train_ngram(spec, tmp_path / "one") == first
    assert (tmp_path / "one" / "model.arpa").stat().st_mtime_ns == before
    (tmp_path / "empty.jsonl").write_text('{"text": "<s> </s>"}\n')
    with pytest.raises(DataError, match="no word to train on"):
        train_ngram(NgramSpec(texts=(TextSource(path=str(tmp_path / "empty.jsonl")),)), tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == [".work"]


def test_what_is_no_model_is_refused(model: str, tmp_path: Path) -> None:
    whole = Path(model).read_bytes()
    for name, content in (("text", b"hello"), ("half", whole[: len(whole) // 2]), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AssetError, match=name):
            load_kenlm(tmp_path / name)
    with pytest.raises(AssetError, match="found a directory"):
        load_kenlm(tmp_path)
