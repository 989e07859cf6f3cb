"""Every regular expression that touches pages: strings designed to be hard for it do not slow it down."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants as c  # type: ignore[attr-defined]  # the tree of an expression is not public
from re import _parser  # type: ignore[attr-defined]

import pytest
from edited import batch_of
from langdetect.detector import Detector
from langdetect.utils.ngram import NGram

from dclm.curate.step import Context
from dclm.filters.lines.patterns import SubstringLines
from dclm.filters.lines.substring import BlockedWords

PACKAGE = Path(__file__).resolve().parents[2] / "dclm"
FOLDERS = ("filters", "text", "extract", "pool")
LENGTH = 150_000
AT_ONE_PLACE = {
    "filters.pii._DOMAIN",
    "pool.archives.arc._HEADER",
    "pool.archives.http._CHUNK_SIZE",
    "pool.files._DOCUMENT",
    "extract.media._HTML",
    "extract.media._XHTML",
}
"""Expressions that are not searched for but tried at one position: after an @, at the start of a line, a chunk or a
file."""
MADE_WHEN_OPENED = {"filters/lines/patterns.py", "filters/lines/substring.py"}
"""Modules that build expressions from the escaped words of a pipeline; their steps are tested below."""


def modules() -> list[Path]:
    """Modules that read pages; the generator of sample pages does not."""
    return sorted(p for folder in FOLDERS for p in (PACKAGE / folder).rglob("*.py") if "sample" not in p.parts)


def expressions() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    for path in modules():
        dotted = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        module = importlib.import_module(f"dclm.{dotted}".removesuffix(".__init__"))
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{dotted}.{name}", value
    yield "langdetect.URL_RE", Detector.URL_RE
    yield "langdetect.MAIL_RE", Detector.MAIL_RE
    yield "langdetect.ALPHABET_WITH_DMARK", NGram.ALPHABET_WITH_DMARK


ALL = dict(expressions())


def one_of(items: list[tuple[object, object]]) -> str:
    """A character that a set matches."""
    kinds = {
        c.CATEGORY_DIGIT: "0", c.CATEGORY_SPACE: " ", c.CATEGORY_WORD: "a",
        c.CATEGORY_NOT_DIGIT: "a", c.CATEGORY_NOT_SPACE: "a", c.CATEGORY_NOT_WORD: " ",
    }  # fmt: skip
    if items[0][0] is c.NEGATE:
        spans = [value if kind is c.RANGE else (value, value) for kind, value in items[1:] if kind is not c.CATEGORY]
        free = (code for code in "a0- .x\x02é".encode("latin-1") if all(not low <= code <= high for low, high in spans))  # type: ignore[misc]
        return chr(next(free))
    kind, value = items[-1]
    return kinds[value] if kind is c.CATEGORY else chr(value[0] if kind is c.RANGE else value)  # type: ignore[index, arg-type]


def walk(tree: object, before: str, found: list[tuple[str, str]]) -> str:
    """The shortest text before a position, for every repeated part: (that text, one match of the part)."""
    for kind, value in tree:  # type: ignore[attr-defined]
        if kind is c.LITERAL:
            before += chr(value)
        elif kind is c.NOT_LITERAL:
            before += "a" if value != 97 else "b"
        elif kind is c.ANY:
            before += "a"
        elif kind is c.IN:
            before += one_of(value)
        elif kind is c.SUBPATTERN:
            before = walk(value[3], before, found)
        elif kind is c.BRANCH:
            before = min((walk(branch, before, found) for branch in value[1]), key=len)
        elif kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            least, most, part = value
            once = walk(part, before, found)[len(before) :]
            if most > 1:
                found.append((before, once))
            before += once * least
    return before


@pytest.mark.timeout(60)  # anything quadratic takes hours
@pytest.mark.parametrize("name", ALL)
def test_hard_strings_do_not_stop_it(name: str) -> None:
    pattern = ALL[name]
    flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    found: list[tuple[str, str]] = []
    walk(_parser.parse(pattern.pattern, flags), "", found)
    hard = {before + once * LENGTH + "\x01" for before, once in found}
    hard |= {(before + once) * (LENGTH // 4) + "\x01" for before, once in found}
    for text in hard or {"a" * LENGTH}:
        subject = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        if name in AT_ONE_PLACE:
            pattern.match(subject)  # type: ignore[arg-type]
        else:
            for _ in pattern.finditer(subject):  # type: ignore[arg-type]
                pass


def test_no_expression_is_made_where_the_test_above_does_not_see_it() -> None:
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope in ast.walk(tree):
            if isinstance(scope, ast.FunctionDef):
                for node in ast.walk(scope):
                    called = node.func if isinstance(node, ast.Call) else None
                    direct = isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)
                    if direct and called.value.id == "re" and called.attr != "escape":  # type: ignore[union-attr]
                        assert path.relative_to(PACKAGE).as_posix() in MADE_WHEN_OPENED, f"{path}: re.{called.attr}"  # type: ignore[union-attr]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("location", ["any", "prefix", "suffix"])
def test_steps_that_make_expressions_of_words_are_not_stopped_either(location: str) -> None:

    words = ("a" * 30, "a.b", "(a+)+$", " a", "aa")
    texts = ["a" * LENGTH, " " * LENGTH, "aa " * LENGTH, ("a" * 29 + "b ") * 5_000]
    for step in (
        SubstringLines(words=words, location=location, remove="substring", dot_matches_any=True),  # type: ignore[arg-type]
        BlockedWords(words=words, location=location, dot_matches_any=True),  # type: ignore[arg-type]
    ):
        assert len(step.open(Context())(batch_of(texts))) == len(texts)
