"""Every step that ships, by its name in a pipeline file. Custom steps are named by `module:Class` instead."""

from __future__ import annotations

from dclm.curate.step import Step
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.decontaminate.weighted_step import DecontaminateWeighted
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from dclm.extract.media import MediaType
from dclm.extract.step import Extract
from dclm.filters.language.fasttext import Language
from dclm.filters.language.heliport import Heliport
from dclm.filters.language.langdetect import Langdetect
from dclm.filters.lines.keep import LineWords, LongWordLines, NumericLines, PunctuationLines, UppercaseLines
from dclm.filters.lines.newlines import Newlines
from dclm.filters.lines.page_edits import Citations, WithinPageDedup
from dclm.filters.lines.patterns import CounterLines, SubstringLines
from dclm.filters.lines.sentences import Sentences
from dclm.filters.lines.strip import StripLines
from dclm.filters.lines.substring import BlockedWords
from dclm.filters.pii import PiiMasking
from dclm.filters.rights.step import Rights, RightsFilter
from dclm.filters.rules.fineweb import FinewebQuality
from dclm.filters.rules.gopher import (
    AlphabeticWords,
    AlphanumericRatio,
    BulletLines,
    EllipsisLines,
    StopWords,
    SymbolRatio,
)
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import LineLength, PageLength, WordLength
from dclm.filters.rules.repetition import Repetition
from dclm.filters.rules.token_ratio import AlphabeticTokenRatio
from dclm.filters.rules.words import WordCount, WordRemovalRatio
from dclm.filters.sampling import RandomSampling
from dclm.filters.url.blocklist import UrlBlocklist
from dclm.filters.url.removal import UrlRemoval
from dclm.select.fasttext_score import FastTextScore
from dclm.select.hosts.step import HostRank
from dclm.select.labels import Labels
from dclm.select.language_model.ask import AskLanguageModel
from dclm.select.language_model.machine_text import MachineText
from dclm.select.language_model.score import LanguageModelScore
from dclm.select.llm_label.step import LlmLabel
from dclm.select.ngram.score import KenlmScore
from dclm.select.quality import Threshold
from dclm.select.quantile import Quantile
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.head import EmbeddingClassifier
from dclm.select.semantic.semdedup import SemDedup

SHIPPED: tuple[type[Step], ...] = (
    MediaType, Rights, Extract, RightsFilter,
    UrlBlocklist, UrlRemoval, BlockedWords,
    Language, Heliport, Langdetect,
    PageLength, WordLength, LineLength, Sentences,
    SymbolRatio, BulletLines, EllipsisLines, AlphabeticWords, AlphanumericRatio, StopWords, Repetition, FinewebQuality,
    GopherQuality, GopherRepetition, AlphabeticTokenRatio,
    Newlines, StripLines, UppercaseLines, NumericLines, CounterLines, LineWords, LongWordLines, PunctuationLines,
    SubstringLines, Citations, WithinPageDedup, PiiMasking,
    WordCount, WordRemovalRatio,
    RandomSampling,
    Exact, MinHash, Bloom, Substring,
    Decontaminate, DecontaminateWeighted,
    FastTextScore, LanguageModelScore, KenlmScore, AskLanguageModel, MachineText, LlmLabel, HostRank,
    Embed, EmbeddingClassifier, SemDedup,
    Threshold, Quantile, Labels,
)  # fmt: skip

STEPS = {step.name: step for step in SHIPPED}
assert len(STEPS) == len(SHIPPED), "two steps share a name"
SPELLINGS: dict[str, tuple[str, dict[str, object]]] = {"url": ("exact", {"of": "url"})}
"""Other names in a pipeline file → the step and the settings that the name stands for."""
