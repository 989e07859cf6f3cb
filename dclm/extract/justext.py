"""jusText with the stop words of the page's own language; with English ones, any other language is all boilerplate."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache

import justext
from justext.core import (
    LENGTH_HIGH_DEFAULT,
    LENGTH_LOW_DEFAULT,
    STOPWORDS_HIGH_DEFAULT,
    STOPWORDS_LOW_DEFAULT,
    ParagraphMaker,
    classify_paragraphs,
    html_to_dom,
    preprocessor,
    revise_paragraph_classification,
)
from lxml.etree import LxmlError

_LEAST_SHARE = 0.15  # of a page's non-space characters: Chinese text has few, long words, its menu may be English
_IDEOGRAPH = re.compile(r"[぀-ヿ㐀-鿿]")  # kana and Han: one character carries as much as about three letters
_LENGTHS = {"length_low": LENGTH_LOW_DEFAULT, "length_high": LENGTH_HIGH_DEFAULT}
_IDEOGRAPHIC_LENGTHS = {"length_low": 25, "length_high": 70}  # about a third of jusText's own 70 and 200


@cache
def _languages() -> Mapping[str, tuple[str, ...]]:
    """Word → the languages whose list contains it."""
    known: defaultdict[str, list[str]] = defaultdict(list)
    for language in sorted(justext.get_stoplists()):
        for word in justext.get_stoplist(language):
            known[word.lower()].append(language)
    return {word: tuple(languages) for word, languages in known.items()}


@cache
def _stop_words(language: str | None) -> frozenset[str]:
    return frozenset(justext.get_stoplist(language)) if language else frozenset()


def language_of(text: str) -> str | None:
    """The language (jusText's name) whose stop words are most frequent in the text; None if no list fits."""
    words = text.lower().split()
    found: Counter[str] = Counter()
    for word, count in Counter(words).items():
        for language in _languages().get(word, ()):
            found[language] += count * len(word)
    best = max(sorted(found), key=lambda language: (found[language], language == "English"), default=None)
    return best if best is not None and found[best] >= _LEAST_SHARE * sum(map(len, words)) else None


def extract(html: str) -> str:
    """The paragraphs that are not boilerplate, one per line. A page without any element has none.

    If no list of stop words fits the page, none is used, as jusText recommends for such languages; for Chinese and
    Japanese, paragraphs need only a third of the length.
    """
    if not html.strip():
        return ""
    try:
        dom = preprocessor(html_to_dom(html.encode("utf-8", "replace"), encoding="utf-8"))
    except LxmlError:  # nothing in the page is an element
        return ""
    paragraphs = ParagraphMaker.make_paragraphs(dom)
    text = "\n".join(paragraph.text for paragraph in paragraphs)
    language = language_of(text)
    is_ideographic = language is None and 3 * len(_IDEOGRAPH.findall(text)) > len(text)
    low, high = (STOPWORDS_LOW_DEFAULT, STOPWORDS_HIGH_DEFAULT) if language else (0.0, 0.0)
    lengths = _IDEOGRAPHIC_LENGTHS if is_ideographic else _LENGTHS
    classify_paragraphs(paragraphs, _stop_words(language), stopwords_low=low, stopwords_high=high, **lengths)
    revise_paragraph_classification(paragraphs)
    return "\n".join(paragraph.text for paragraph in paragraphs if not paragraph.is_boilerplate)
