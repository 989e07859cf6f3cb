"""The reference's rules for whole documents, written as plainly as possible: slow, for comparison with the kernels."""

from __future__ import annotations

import re
from collections import Counter

from uniseg.wordbreak import words as unicode_words

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
SEPARATORS = " \n\t\v\f\r\0"


def fasttext_tokens(text: str) -> list[str]:
    """The output of `fasttext.tokenize`: tokens between separators, and "</s>" for each newline."""
    tokens, token = [], ""
    for c in text + " ":
        if c in SEPARATORS:
            tokens += [token] if token else []
            tokens += ["</s>"] if c == "\n" else []
            token = ""
        else:
            token += c
    return tokens


def alnum_first(words: list[str]) -> list[str]:
    return [word for word in words if word[0].isalnum()]


def pieces(text: str, separator: str) -> list[str]:
    return [piece.strip() for piece in text.split(separator) if piece.strip()]


def symbols(text: str) -> int:
    return sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…"))


def other_words(text: str) -> int:
    """Words without a letter."""
    return sum(not any(c.isalpha() for c in word) for word in text.split())


def stop_words(text: str) -> list[str]:
    return [word for word in text.lower().split() if word in STOP_WORDS]


def copies_fraction(segments: list[str]) -> float:
    return sum(n for n in Counter(segments).values() if n > 1) / len(segments)


def copies_char_fraction(segments: list[str]) -> float:
    copied = sum(len(segment) * n for segment, n in Counter(segments).items() if n > 1)
    return copied / sum(map(len, segments))


def repetition_words(text: str) -> list[str]:
    return alnum_first(list(unicode_words(text)))


def top_ngram_fraction(words: list[str], n: int) -> float:
    ngrams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max(ngrams.values(), default=0)
    if most <= 1:
        return 0.0
    longest = max(sum(map(len, ngram)) for ngram, count in ngrams.items() if count == most)
    return longest * most / sum(map(len, words))


def repeated_ngram_fraction(words: list[str], n: int) -> float:
    ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    count = Counter(ngrams)
    covered = {i + k for i, ngram in enumerate(ngrams) if count[ngram] > 1 for k in range(n)}
    return sum(len(words[i]) for i in covered) / sum(map(len, words)) if words else 0.0


def passes_repetition(text: str, max_fraction: float) -> bool:
    """All of `massive_web_repetition_filters`' rules with one limit for all."""
    for separator in ("\n", "\n\n"):
        segments = pieces(text, separator)
        if not segments:
            return False
        if len(segments) > 1 and max(copies_fraction(segments), copies_char_fraction(segments)) > max_fraction:
            return False
    words = repetition_words(text)
    tops = [top_ngram_fraction(words, n) for n in (2, 3, 4)]
    return max(tops + [repeated_ngram_fraction(words, n) for n in range(5, 11)]) <= max_fraction


def gopher_words(text: str) -> list[str]:
    return [word for word in unicode_words(text) if word.strip()]


def extra_copies(pieces_: list[str]) -> list[str]:
    seen: set[str] = set()
    return [piece for piece in pieces_ if piece in seen or seen.add(piece)]


def gopher_top_chars(words: list[str], n: int) -> int:
    ngrams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not ngrams:
        return 0
    ngram, count = ngrams.most_common(1)[0]
    return len(" ".join(ngram)) * count


def gopher_duplicate_chars(words: list[str], n: int) -> int:
    seen, chars, i = set(), 0, 0
    while i <= len(words) - n:
        ngram = tuple(words[i : i + n])
        if ngram in seen:
            chars += sum(map(len, ngram))
            i += n
        else:
            seen.add(ngram)
            i += 1
    return chars


def passes_gopher_repetition(text: str, limit: float) -> bool:
    if not text:
        return False
    lines, paragraphs = re.split(r"\n+", text), re.split(r"\n{2,}", text.strip())
    fractions = []
    for segments in (lines, paragraphs):
        copies = extra_copies(segments)
        fractions += [len(copies) / len(segments), len("".join(copies)) / len(text)]
    words = gopher_words(text)
    fractions += [gopher_top_chars(words, n) / len(text) for n in range(2, 5)]
    fractions += [gopher_duplicate_chars(words, n) / len(text) for n in range(5, 11)]
    return max(fractions) <= limit


def passes_gopher_quality(text: str, least_words: int, limit: float) -> bool:
    words, lines = gopher_words(text), text.split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    plain = alnum_first(words)
    if not words or len(plain) < least_words:
        return False
    if plain and not 1 <= sum(map(len, plain)) / len(plain) <= 4:
        return False
    if max(text.count("#"), text.count("...") + text.count("…")) / len(words) > limit:
        return False
    if sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1) > limit:
        return False
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1) > limit:
        return False
    letters = sum(any(c.isalpha() for c in word) for word in words)
    return letters / len(words) >= 1 - limit and len(STOP_WORDS & set(words)) >= least_words
