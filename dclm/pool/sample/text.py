"""The texts of the sample pool: English articles (high quality), chatter (low quality), pages in other languages.

The words and sentence templates are in `sample_lexicon.json`: `article` and `chatter` contain what all pages of that
register share, `topics` the vocabulary of each topic (subject: singular, after "the"; part: plural; agent: plural
people; place: after "in"; act and acted: verb phrases of agents in the present and past; change: verb phrase of the
subject; quality: mass noun; method: gerund phrase; effect: noun phrase), `languages` a grammar for each language.
"""

from __future__ import annotations

import json
import random
from functools import cache
from importlib import resources
from typing import NamedTuple, cast

from dclm.pool.sample.grammar import Lexicon, Speaker

LANGUAGES = ("de", "es", "fr", "it", "ru", "zh")
"""ISO 639-1 codes of the languages other than English."""


class TextBlock(NamedTuple):
    """One piece of a page's main text."""

    kind: str
    """h1, h2, p, or li."""
    text: str


@cache
def _lexicon() -> dict[str, dict[str, object]]:
    text = resources.files("dclm.pool.sample").joinpath("lexicon.json").read_text(encoding="utf-8")
    return cast(dict[str, dict[str, object]], json.loads(text))


def _speaker(rng: random.Random, register: str) -> Speaker:
    """An English speaker in that register, on one subject of one topic."""
    topics = cast(dict[str, dict[str, list[str]]], _lexicon()["topics"])
    topic = topics[rng.choice(sorted(topics))]
    words = cast(Lexicon, _lexicon()[register])
    return Speaker(rng, {**topic, **words, "subject": (rng.choice(topic["subject"]),)})


def article(rng: random.Random, min_words: int = 500, max_words: int = 1300) -> list[TextBlock]:
    """An informative page: title, sections with headings, paragraphs of several sentences, sometimes a list."""
    speaker = _speaker(rng, "article")
    target = rng.randint(min_words, max_words)
    blocks = [TextBlock("h1", speaker.say("title")), _paragraph(speaker, "opening", "sentence", "sentence")]
    words = _num_words(blocks)
    while words < target:
        section = [TextBlock("h2", speaker.say("heading"))]
        for _ in range(rng.randint(2, 3)):
            section.append(_paragraph(speaker, *["sentence"] * rng.randint(3, 6)))
        if rng.random() < 0.2:
            section += [TextBlock("li", speaker.say("item")) for _ in range(rng.randint(3, 5))]
        blocks += section
        words += _num_words(section)
    return [*blocks, _paragraph(speaker, "sentence", "closing", "closing")]


def chatter(rng: random.Random, min_words: int = 120, max_words: int = 480) -> list[TextBlock]:
    """A page with little information: a personal blog or forum post that circles around its topic."""
    speaker = _speaker(rng, "chatter")
    target = rng.randint(min_words, max_words)
    blocks = [TextBlock("h1", speaker.say("title"))]
    while _num_words(blocks) < target:
        blocks.append(_paragraph(speaker, *["sentence"] * rng.randint(1, 5)))
    return blocks


def foreign_page(rng: random.Random, language: str) -> list[TextBlock]:
    """A page in one of `LANGUAGES`: a title and some paragraphs."""
    languages = cast(dict[str, Lexicon], _lexicon()["languages"])
    speaker = Speaker(rng, languages[language])
    space = "" if language == "zh" else " "
    blocks = [TextBlock("h1", speaker.say("title"))]
    for _ in range(rng.randint(4, 9)):
        blocks.append(_paragraph(speaker, *["sentence"] * rng.randint(2, 5), space=space))
    return blocks


def _paragraph(speaker: Speaker, *slots: str, space: str = " ") -> TextBlock:
    return TextBlock("p", space.join(speaker.say(slot) for slot in slots))


def _num_words(blocks: list[TextBlock]) -> int:
    return sum(len(block.text.split()) for block in blocks)


def plain_text(blocks: list[TextBlock]) -> str:
    """The main text as a reader would copy it: one line per block, with empty lines between paragraphs."""
    lines: list[str] = []
    for block in blocks:
        if lines and block.kind != "li":
            lines.append("")
        lines.append(f"• {block.text}" if block.kind == "li" else block.text)
    return "\n".join(lines)
