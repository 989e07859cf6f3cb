"""Sentences are NLTK's, for any text; the time for them is linear."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktLanguageVars, PunktParameters, PunktSentenceTokenizer, PunktToken

from dclm.assets.transforms import punkt_english
from dclm.core.errors import AssetError
from dclm.text.buffers import utf8
from dclm.text.punkt.model import load_punkt
from dclm.text.punkt.sentences import count_sentences
from dclm.text.unicode import class_table

MODEL = {
    "abbreviations": [". . ", "dr", "u.s", "p.m", "inc", "e.g", "st", "x", "kg"],
    "collocations": [["##number##", "may"], ["dr", "jones"], ["st", "##number##"]],
    "contexts": {"he": 46, "she": 34, "jones": 4, "smith": 12, "river": 32, "of": 100, "u.s": 4, "the": 126, "k": 32},
    "starters": ["he", "the", "in"],
}


class OlderVariables(PunktLanguageVars):
    """The expressions of NLTK 3.8.1: without the curly quotes that came later, and read by `re`."""

    re_boundary_realignment = re.compile(r"[\"')\]}]+?(?:\s+|(?=--)|$)", re.MULTILINE)

    @property
    def _re_non_word_chars(self) -> str:
        return r"(?:[)\";}\]\*:@\'\({\[?!])"

    def _word_tokenizer_re(self) -> re.Pattern[str]:
        return re.compile(super()._word_tokenizer_re().pattern, re.VERBOSE)

    def period_context_re(self) -> re.Pattern[str]:
        return re.compile(super().period_context_re().pattern, re.VERBOSE)


class OlderToken(PunktToken):
    """Also read by `re`, for which "²" is not a digit."""

    __slots__ = ()
    _RE_ELLIPSIS = re.compile(r"\.\.+$")
    _RE_NUMERIC = re.compile(r"^-?[\.,]?\d[\d,\.-]*\.?$")
    _RE_INITIAL = re.compile(r"[^\W\d]\.$")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("punkt") / "model.json"
    path.write_text(json.dumps(MODEL), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reference() -> PunktSentenceTokenizer:
    parameters = PunktParameters()
    parameters.abbrev_types = set(MODEL["abbreviations"])
    parameters.collocations = {tuple(pair) for pair in MODEL["collocations"]}
    parameters.sent_starters = set(MODEL["starters"])
    parameters.ortho_context = defaultdict(int, MODEL["contexts"])
    return PunktSentenceTokenizer(parameters, lang_vars=OlderVariables(), token_cls=OlderToken)


def counted(texts: list[str], path: Path) -> list[int]:
    counts: list[int] = count_sentences(*utf8(pa.array(texts)), class_table(), load_punkt(path)).tolist()
    return counts


WORDS = ["he", "He", "HE", "she", "Jones", "smith", "river", "the", "The", "K", "dr", "Dr", "e.g", "U.S", "kg", "st",
         "x", "X", "é", "É", "İ", "²", "5", "-3.1", "1,000", "٣", "٣.", "May", "_", "mr-dr", "你好"]  # fmt: skip
MARKS = [*".?!.?!,;:-\"'()[]{}*@&#`", "...", "..", "--", ". . .", ". . . .", "”", "»", "…", ".\u3000.\u3000."]
SPACES = [" ", " ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "\x1c", "\r\n", "\x85"]
PIECES = st.sampled_from(WORDS) | st.sampled_from(MARKS) | st.sampled_from(SPACES) | st.text(max_size=3)


def test_sentences_are_those_of_the_reference(path: Path, reference: PunktSentenceTokenizer) -> None:
    @settings(deadline=None, max_examples=300)
    @given(st.lists(PIECES, max_size=30).map("".join))
    def check(text: str) -> None:
        spans = reference.span_tokenize(text)
        assert counted([text], path) == [sum(bool(text[a:b].strip()) for a, b in spans)]

    check()


def test_abbreviations_initials_quotes_and_ellipses(path: Path) -> None:
    counts = {
        "": 0, " \n": 0, "One": 1, "One. Two": 2, "Dr. Jones came. He left.": 2, "Really?!\nYes!!! No": 3, "a.b.c": 1,
        'He said "No." Then (left.) She too.': 3, "J. R. Smith came.": 1, "At 5 p.m. He went.": 2, "Version 1.5 is": 1,
        "At 5 p.m. she went.": 1, "In 3. May.": 1, "Well ... The end.": 2, "Well . . . The end.": 4,
    }  # fmt: skip
    assert dict(zip(counts, counted(list(counts), path), strict=True)) == counts


@pytest.mark.parametrize("piece", [".", "! ", ". ", "a.)", ". . ", "x. \u00a0", "a,b-c.d", "\u3000.", "('", "A. "])
def test_hostile_texts_of_many_pieces_are_counted(piece: str, path: Path) -> None:
    (count,) = counted([piece * 500_000], path)
    assert 0 < count <= 1_000_000


def test_the_model_is_made_of_literals_and_what_is_none_is_said(tmp_path: Path) -> None:
    module = (
        'raise SystemExit("never run")\nABBREV_TYPES = frozenset(("b", "a",))\nSENT_STARTERS = frozenset(("he",))\n'
        'COLLOCATIONS = frozenset((("a", "b"),))\nORTHO_CONTEXT = {"z": 4, "a": 2}\n'
    )
    path = tmp_path / "model.json"
    path.write_bytes(punkt_english(module.encode()))
    assert json.loads(path.read_text("utf-8"))["abbreviations"] == ["a", "b"]
    assert load_punkt(path).flags.dtype == np.uint8
    for text in ("{}", "[]", "no", '{"abbreviations": 1, "collocations": [], "contexts": {}, "starters": []}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(AssetError, match="not a Punkt model"):
            load_punkt(path)
