"""A pool of planted truth: prose of a small grammar, and three ways to spoil it; models that have read such prose."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

NOUNS = ("mill", "river", "wheel", "stone", "farmer", "bridge", "boat", "horse", "tower", "garden", "school", "well")
VERBS = (
    "grinds",
    "floods",
    "turns",
    "rests",
    "sows",
    "spans",
    "sails",
    "trots",
    "stands",
    "blooms",
    "teaches",
    "sells",
)
"""Each noun has its own verb."""
ADJECTIVES = ("old", "small", "green", "quiet", "broad", "famous")
ADVERBS = ("often", "never", "slowly", "always")
MENU = ("home", "login", "share", "cookies", "subscribe", "contact", "sitemap", "cart", "next", "privacy")
PROMPT = "### {text} ### informative"
WORDS = ("[UNK]", "Yes", "No", "###", "informative", "the", "that", ".", *NOUNS, *VERBS, *ADJECTIVES, *ADVERBS, *MENU)
KINDS = ("prose", "babble", "shuffled", "boilerplate")


def prose(draw: random.Random) -> list[str]:
    """Sentences like `the old mill that often grinds .`, whose verb belongs to a noun three words before."""
    words: list[str] = []
    for _ in range(draw.randint(6, 10)):
        place = draw.randrange(len(NOUNS))
        words += ["the", draw.choice(ADJECTIVES), NOUNS[place], "that", draw.choice(ADVERBS), VERBS[place], "."]
    return words


def babble(draw: random.Random) -> list[str]:
    """What a chain of single words makes of the grammar: each pair of words is possible, but verbs fit no noun."""
    words = prose(draw)
    words[5::7] = [draw.choice(VERBS) for _ in words[5::7]]
    return words


def shuffled(draw: random.Random) -> list[str]:
    """The words of prose in any order."""
    words = prose(draw)
    draw.shuffle(words)
    return words


def boilerplate(draw: random.Random) -> list[str]:
    """Menus of a site."""
    return draw.choices(MENU, k=draw.randint(40, 70))


def documents(count: int, seed: int) -> dict[str, list[str]]:
    """Kind → texts, `count` of each."""
    draw = random.Random(seed)
    makers = {"prose": prose, "babble": babble, "shuffled": shuffled, "boilerplate": boilerplate}
    return {kind: [" ".join(makers[kind](draw)) for _ in range(count)] for kind in KINDS}


def write_texts(path: Path, texts: list[str]) -> str:
    """A JSONL file of these texts; its path."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def train_llama(folder: Path, texts: list[str], steps: int, *, answers_only: bool = False) -> Path:
    """A small Llama that has read `texts`, with words as tokens; `answers_only`: it learns each text's last word."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=96,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    place = {word: number for number, word in enumerate(WORDS)}
    draw = random.Random(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = [[place[word] for word in text.split()][-96:] for text in draw.sample(texts, 16)]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        wanted = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
        if answers_only:
            for row, known in zip(wanted, rows, strict=True):
                row[: len(known) - 1] = -100
        model(input_ids=ids, labels=wanted).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    write_tokenizer(folder, WORDS)
    return folder


def write_tokenizer(folder: Path, words: tuple[str, ...]) -> None:
    """A tokenizer whose tokens are these words."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def questions(texts: Mapping[str, list[str]]) -> list[str]:
    """Prompts about texts, each with its answer, half of them Yes: prose is informative."""
    good = [f"{PROMPT.format(text=text)} Yes" for text in texts["prose"]]
    bad = [f"{PROMPT.format(text=text)} No" for kind in ("shuffled", "boilerplate") for text in texts[kind]]
    return 2 * good + bad
