"""Every step that ships, by its name in a pipeline file. One's own come by `module:Class` instead."""

from __future__ import annotations

from dclm.dedup.bloom import Bloom
from dclm.dedup.decontaminate import Decontaminate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash import MinHash
from dclm.dedup.substring import Substring
from dclm.extract.step import Extract
from dclm.filters.fineweb import FinewebQuality
from dclm.filters.gopher import (
    AlphabeticWords,
    AlphanumericRatio,
    BulletLines,
    EllipsisLines,
    StopWords,
    SymbolRatio,
)
from dclm.filters.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.langdetect import Langdetect
from dclm.filters.language import Language
from dclm.filters.length import LineLength, PageLength, WordLength
from dclm.filters.line_filters import LineWords, LongWordLines, NumericLines, PunctuationLines, UppercaseLines
from dclm.filters.line_patterns import CounterLines, SubstringLines
from dclm.filters.newlines import Newlines
from dclm.filters.page_edits import Citations, WithinPageDedup
from dclm.filters.pii import PiiMasking
from dclm.filters.quality import FastTextScore, Quantile, Threshold
from dclm.filters.repetition import Repetition
from dclm.filters.sampling import RandomSampling
from dclm.filters.sentences import Sentences
from dclm.filters.strip_lines import StripLines
from dclm.filters.substring import BlockedWords
from dclm.filters.token_ratio import AlphabeticTokenRatio
from dclm.filters.url import UrlBlocklist
from dclm.filters.url_removal import UrlRemoval
from dclm.filters.words import WordCount, WordRemovalRatio
from dclm.step import Step

SHIPPED: tuple[type[Step], ...] = (
    Extract,
    UrlBlocklist, UrlRemoval, BlockedWords,
    Language, Langdetect,
    PageLength, WordLength, LineLength, Sentences,
    SymbolRatio, BulletLines, EllipsisLines, AlphabeticWords, AlphanumericRatio, StopWords, Repetition, FinewebQuality,
    GopherQuality, GopherRepetition, AlphabeticTokenRatio,
    Newlines, StripLines, UppercaseLines, NumericLines, CounterLines, LineWords, LongWordLines, PunctuationLines,
    SubstringLines, Citations, WithinPageDedup, PiiMasking,
    WordCount, WordRemovalRatio,
    RandomSampling,
    Exact, MinHash, Bloom, Substring,
    Decontaminate,
    FastTextScore, Threshold, Quantile,
)  # fmt: skip

STEPS = {step.name: step for step in SHIPPED}
assert len(STEPS) == len(SHIPPED), "two steps share a name"
