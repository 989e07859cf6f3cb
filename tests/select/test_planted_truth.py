"""Planted truth: what each method makes of prose, babble, shuffled words and boilerplate; paraphrases for SemDeDup."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import planted
import pyarrow as pa
import pytest
from planted import ADJECTIVES, ADVERBS, NOUNS, PROMPT, VERBS, WORDS, documents, write_texts
from safetensors.numpy import save_file

from dclm.curate.step import Context, Map
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide
from dclm.select.classifier.metrics import roc_auc
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.classifier.train import train_classifier
from dclm.select.fasttext_score import FastTextScore
from dclm.select.hosts.graph import pagerank
from dclm.select.hosts.step import HostRank
from dclm.select.language_model.ask import AskLanguageModel
from dclm.select.language_model.machine_text import MachineText, Test
from dclm.select.language_model.score import LanguageModelScore, Metric
from dclm.select.llm_label.step import LlmLabel
from dclm.select.ngram.kneser_ney import estimate, write_arpa
from dclm.select.ngram.score import KenlmScore
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.head import EmbeddingClassifier, HeadSpec, train_head
from dclm.select.semantic.semdedup import SemDedup

SPOILED = ("babble", "shuffled", "boilerplate")


class Trained(NamedTuple):
    """Models that have read a part of the planted pool, and another part to score."""

    language_model: str
    instructed: str
    learned: Mapping[str, list[str]]
    texts: Mapping[str, list[str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of prose, and one that says Yes after prose and No after shuffled words and boilerplate."""
    work = tmp_path_factory.mktemp("models")
    learned = documents(200, seed=1)
    model = planted.train_llama(work / "model", learned["prose"], 160)
    asked = planted.train_llama(work / "asked", planted.questions(learned), 300, answers_only=True)
    return Trained(f"hf:{model}", f"hf:{asked}", learned, documents(20, seed=2))


def column(name: str, steps: Sequence[Map], **columns: list[str]) -> pa.Array:
    """A column that the steps add to documents with these columns."""
    batch = pa.RecordBatch.from_pydict({key: pa.array(values, pa.string()) for key, values in columns.items()})
    for step in steps:
        batch = step.open(Context(files={asset: asset for asset in step.assets}))(batch)
    return batch.column(name)


def separation(name: str, *steps: Map, texts: Mapping[str, list[str]], low_is_good: bool = False) -> dict[str, float]:
    """Kind of spoiled text → ROC-AUC of prose against it, by the column of that name."""
    scores = {kind: np.array(column(name, steps, text=some).to_pylist(), float) for kind, some in texts.items()}
    found = {}
    for kind in texts:
        values = np.concatenate([scores["prose"], scores[kind]])
        truth = np.repeat([True, False], [len(scores["prose"]), len(scores[kind])])
        found[kind] = roc_auc(-values if low_is_good else values, truth)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "sees"),
    [("perplexity", SPOILED), ("bits_per_byte", SPOILED), ("topk_hit", SPOILED), ("topk_mass", ("boilerplate",))],
)
def test_language_models_prefer_prose(trained: Trained, metric: Metric, sees: tuple[str, ...]) -> None:
    """The mass of the likeliest tokens says how sure the model is, whatever comes next: shuffled words pass for it."""
    step = LanguageModelScore(model=trained.language_model, metric=metric, k=3)
    found = separation("lm_score", step, texts=trained.texts, low_is_good=not metric.startswith("topk"))
    for kind in sees:
        assert found[kind] > (0.95 if metric in ("perplexity", "bits_per_byte") else 0.75), found


def test_n_grams_prefer_prose(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    write_arpa(estimate([text.split() for text in trained.learned["prose"]], 5), tmp_path / "m.arpa")
    step = KenlmScore(model=str(tmp_path / "m.arpa"), normalize=False)
    found = separation("kenlm_perplexity", step, texts=trained.texts, low_is_good=True)
    assert min(found[kind] for kind in SPOILED) > 0.95, found


def test_an_asked_model_prefers_prose(trained: Trained) -> None:
    step = AskLanguageModel(model=trained.instructed, prompt=PROMPT, answers=("Yes",))
    found = separation("ask_llm", step, texts=trained.texts)
    assert min(found["shuffled"], found["boilerplate"]) > 0.9, found


def test_labels_of_a_model_prefer_prose(trained: Trained, tmp_path: Path) -> None:
    def share(kind: str) -> float:
        step = LlmLabel(
            model=trained.instructed, prompt=PROMPT, classes=("Yes", "No"), cache=str(tmp_path), answer_tokens=1
        )
        return column("label", [step], text=trained.texts[kind]).to_pylist().count("Yes") / len(trained.texts[kind])

    found = {kind: share(kind) for kind in ("prose", "shuffled", "boilerplate")}
    assert found["prose"] > found["shuffled"] + 0.3, found
    assert found["boilerplate"] == 0


@pytest.mark.parametrize("test", ["curvature", "log_rank", "likelihood", "lrr"])
def test_what_a_machine_wrote_stands_above_prose_and_prose_above_shuffled_words(trained: Trained, test: Test) -> None:
    texts = {**trained.texts, "machine": written_by(trained.language_model)}
    found = separation("machine_text", MachineText(model=trained.language_model, test=test), texts=texts)
    assert found["machine"] < 0.15, found
    if test != "lrr":  # a ratio: both of its parts grow
        assert found["shuffled"] > 0.95, found


def written_by(model: str) -> list[str]:
    """Texts drawn from a model at half its temperature."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(3)
    start = torch.full((20, 1), WORDS.index("the"))
    drawn = LlamaForCausalLM.from_pretrained(model.removeprefix("hf:")).generate(
        start, attention_mask=torch.ones_like(start), do_sample=True, temperature=0.5, top_k=0, max_new_tokens=69
    )
    return [" ".join(WORDS[token] for token in row) for row in drawn.tolist()]


def sources(folder: Path, texts: Mapping[str, list[str]], kinds: tuple[str, ...]) -> tuple[TextSource, ...]:
    """Files of these kinds of text."""
    return tuple(TextSource(path=write_texts(folder / f"{kind}.jsonl", texts[kind])) for kind in kinds)


def test_fasttext_prefers_prose(trained: Trained, tmp_path: Path) -> None:
    spec = ClassifierSpec(
        positives=sources(tmp_path, trained.learned, ("prose",)),
        negatives=sources(tmp_path, trained.learned, ("shuffled", "boilerplate")),
        dim=8, bucket=5000, epochs=20, learning_rate=0.5,
    )  # fmt: skip
    train_classifier(spec, tmp_path / "hq")
    step = FastTextScore(model=str(tmp_path / "hq" / "model.bin"), column="quality")
    found = separation("quality", step, texts=trained.texts)
    assert min(found["shuffled"], found["boilerplate"]) > 0.95, found


def test_static_embeddings_see_words_but_not_their_order(trained: Trained, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", np.random.default_rng(0).standard_normal((len(WORDS), 16)))
    classes = {
        "hq": sources(tmp_path, trained.learned, ("prose",)),
        "cc": sources(tmp_path, trained.learned, ("boilerplate",)),
    }
    train_head(HeadSpec(encoder=str(encoder), classes=classes), tmp_path / "head")
    head = EmbeddingClassifier(model=str(tmp_path / "head" / "head.json"))
    found = separation("quality", Embed(model=str(encoder)), head, texts=trained.texts)
    assert found["boilerplate"] > 0.99, found
    assert 0.25 < found["shuffled"] < 0.75, found  # the same words


def write_encoder(folder: Path, table: np.ndarray) -> Path:
    """Static embeddings of WORDS."""
    folder.mkdir()
    planted.write_tokenizer(folder, WORDS)
    save_file({"embeddings": table.astype(np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def test_pages_of_linked_hosts_stand_above_link_farms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty sites link to each other; twenty farms link to all of them, and no site links back."""
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    draw = random.Random(4)
    sites, farms = [f"site{i}.org" for i in range(20)], [f"farm{i}.biz" for i in range(20)]
    edges = {(a, draw.randrange(20)) for a in range(20) for _ in range(5)}
    edges = {(a, b) for a, b in edges if a != b} | {(20 + farm, site) for farm in range(20) for site in range(20)}
    pairs = np.array(sorted(edges))
    rank, _ = pagerank(40, pairs[:, 0], pairs[:, 1], 0.85, 1e-10)
    names = [".".join(reversed(host.split("."))) for host in sites + farms]
    rows = "".join(f"{value}\t{name}\n" for name, value in zip(names, rank.tolist(), strict=True))
    (tmp_path / "ranks.tsv").write_text("#pr_val\t#host_rev\n" + rows)
    urls = [f"http://{host}/page" for host in sites + farms]
    found = np.array(column("host_rank", [HostRank(ranks=str(tmp_path / "ranks.tsv"))], url=urls).to_pylist())
    assert roc_auc(found, np.arange(40) < 20) == 1.0


def test_semdedup_finds_paraphrases_that_minhash_does_not(tmp_path: Path) -> None:
    """In a paraphrase every word is replaced by one that means nearly the same: no five words stay."""
    draw = np.random.default_rng(5)
    table = draw.standard_normal((len(WORDS), 24))
    meaning = {}
    for group in (NOUNS, VERBS, ADJECTIVES, ADVERBS):
        for one, other in zip(group[::2], group[1::2], strict=True):
            meaning[one], meaning[other] = other, one
            place = WORDS.index(other)
            table[place] = table[WORDS.index(one)] + 0.05 * draw.standard_normal(24)
    choice = random.Random(6)
    originals = [" ".join(choice.choices([*meaning], k=30)) for _ in range(60)]
    paraphrases = [" ".join(meaning[word] for word in text.split()) for text in originals[:15]]
    texts = originals + paraphrases
    encoder = write_encoder(tmp_path / "encoder", table)
    rows = pa.array(range(len(texts)), pa.int64())
    vectors = column("embedding", [Embed(model=str(encoder))], text=texts)
    batch = pa.RecordBatch.from_pydict({"_row": rows, "text": pa.array(texts), "embedding": vectors})

    found = decide(SemDedup(clusters=4, epsilon=0.05, keep="first"), [[batch]])
    assert found.drops.column("row").to_pylist() == list(range(60, 75))
    same = decide(MinHash(ngram=5, bands=14, rows=8, seed=1), [[batch]])
    assert same.drops.num_rows == 0
