"""The equivalent of each of DCLM's mappers: `func` and its arguments → steps, or the reason why it has none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from dclm.curate.convert.arguments import Arguments, Entry, Inexpressible
from dclm.curate.convert.joined import detect_language, drop_copies, filter_language, join, split

LISTS = {
    "refinedweb_banned_domains_curated.txt": "refinedweb-domains-curated",
    "refinedweb_banned_words_strict_reverse_engineered.txt": "refinedweb-words-strict",
    "refinedweb_banned_words_hard_reverse_engineered.txt": "refinedweb-words-hard",
    "refinedweb_banned_words_soft_reverse_engineered.txt": "refinedweb-words-soft",
    "ldnoobw.txt": "ldnoobw",
    "iana_tlds.txt": "iana-tlds",
}
"""DCLM's own files → assets. Other files are kept as paths."""
_REGEX = re.compile(r"[\^$*+?\[\]\\|()}]")  # an unpaired { is literal, as in "{"


Mapper = Callable[[Arguments, list[Entry]], list[Entry]]


def _one(make: Callable[[Arguments], Entry]) -> Mapper:
    return lambda arguments, before: [*before, make(arguments)]


def _simple(step: str, arguments: Mapping[str, str], **fixed: object) -> Mapper:
    """A mapper whose arguments are fields under other names; missing ones keep our defaults."""

    def make(a: Arguments) -> Entry:
        given = {field: a.get(name) for name, field in arguments.items() if a.get(name) is not None}
        given = {field: None if value == math.inf else value for field, value in given.items()}
        return Entry(step, {**fixed, **given})

    return _one(make)


def _nothing(why: str, *arguments: str) -> Mapper:
    def drop(a: Arguments, before: list[Entry]) -> list[Entry]:
        for name in arguments:
            a.get(name)
        a.notes.append(f"`{a.func}` is not needed: {why}")
        return before

    return drop


def _list(a: Arguments) -> dict[str, object]:
    path = a.get("banlist_from_fname")
    if path is None:
        return {"words": a.words()}
    a.get("banlist")  # the file takes precedence
    name = PurePosixPath(str(path)).name
    if name.endswith((".pkl", ".pickle")):
        raise Inexpressible(f"`{a.func}`: {name} is a pickle, which can run code", "give the list as text")
    return {"list": LISTS.get(name, str(path))}


def _literals(a: Arguments, fields: dict[str, object]) -> dict[str, object]:
    """Words that DCLM reads as regular expressions, if they are literal except for dots."""
    words = fields.get("words", [])
    assert isinstance(words, list)
    for word in words:
        if _REGEX.search(word):
            raise Inexpressible(
                f"`{a.func}`: {word!r} is a regular expression, allowed: text, with `.` for any character"
            )
    return {**fields, "dot_matches_any": True} if any("." in word for word in words) else fields


def _url_substring(a: Arguments) -> Entry:
    fields = _list(a)
    if a.get("exact_domain_match", False):
        fields["match"] = "domain"
        a.get("match_substrings"), a.get("num_banned_substrs")  # neither has an effect
    else:
        fields["match"] = "substring" if a.get("match_substrings", True) else "word"
        if (least := a.get("num_banned_substrs", 1)) != 1:
            fields["min_matches"] = least
    if ignore := a.get("ignore_chars"):
        fields["ignore"] = (
            ignore if isinstance(ignore, list) else list(str(ignore))
        )  # text is read as a list of characters
    if a.get("case_sensitive", False):
        fields["case_sensitive"] = True
    return Entry("url_blocklist", fields)


def _url_removal(a: Arguments) -> Entry:
    path = a.get("tlds_filepath", "iana_tlds.txt")
    tlds = LISTS.get(PurePosixPath(str(path)).name, str(path))
    fields: dict[str, object] = {"only_if_page_starts_with_tld": True}
    return Entry("url_removal", fields if tlds == "iana-tlds" else {**fields, "tlds": tlds})


def _substring_lines(a: Arguments) -> Entry:
    fields = _literals(a, {"words": a.words()})
    if a.get("case_sensitive", False):
        fields["case_sensitive"] = True
    if (location := a.get("location", "any")) != "any":
        fields["location"] = location
    if (most := a.get("max_length")) is not None:
        fields["max_words"] = most
    if a.get("remove_substring_only", False):
        fields["remove"] = "substring"
    return Entry("substring_lines", fields)


def _substring_filter(a: Arguments) -> Entry:
    fields = _literals(a, _list(a))
    if a.get("case_sensitive", False):
        fields["case_sensitive"] = True
    if a.get("exact_word", False):
        fields["whole_word"] = True
    if (location := a.get("location", "any")) != "any":
        fields["location"] = location
    return Entry("blocked_words", fields)


def _page_length(a: Arguments) -> Entry:
    kind = a.get("length_type")
    least, most = a.get("min_length", 1), a.get("max_length")
    bounds = {"min": least} if most in (None, math.inf) else {"min": least, "max": most}
    if kind == "sentence":
        a.require("tokenizer", "blingfire", ["nltk"])
        a.require("tokenizer_lang", None, ["en", "english"])
        return Entry("sentences", bounds)
    fields: dict[str, object] = {"of": kind, **bounds}
    if kind == "word":
        fields.update({"words": _kind_of_word(a), "ignore_punctuation": a.get("ignore_punctuation", False)})
    if kind in ("line", "paragraph") and not a.get("remove_empty", True):
        fields["count_blank"] = True
    return Entry("page_length", fields)


def _kind_of_word(a: Arguments) -> str:
    """The arguments that mappers pass on to DCLM's `split_words`, except `ignore_punctuation`."""
    a.require("ignore_whitespace", True, [True])
    words = {"fasttext": "fasttext", "uniseg": "unicode", "split": "whitespace"}.get(str(a.get("model", "fasttext")))
    if words is None:
        raise a.reject("model", "fasttext, uniseg or split")
    return words


def _words_of_column(a: Arguments) -> dict[str, object]:
    words, starts = _kind_of_word(a), a.get("ignore_punctuation", True)
    fields: dict[str, object] = {} if words == "fasttext" else {"words": words}
    return fields if starts else {**fields, "ignore_punctuation": False}


_NO_REPETITION: dict[str, object] = {
    "max_line_fraction": None, "max_line_char_fraction": None, "max_paragraph_fraction": None,
    "max_paragraph_char_fraction": None, "top_ngrams": {}, "repeated_ngrams": {},
}  # fmt: skip


def _all_repetition(a: Arguments) -> Entry:
    skipped = ("max_paragraph_fraction", "max_paragraph_char_fraction") if a.get("skip_paragraph", False) else ()
    return Entry("repetition", dict.fromkeys(skipped))


def _repetition(a: Arguments) -> Entry:
    unit, limit = a.get("granularity"), a.get("max_fraction")
    asked = {**_NO_REPETITION, "ignore_case": True} if a.get("ignore_case", False) else _NO_REPETITION
    if unit in ("line", "paragraph"):
        field = f"max_{unit}_char_fraction" if a.get("count_characters", True) else f"max_{unit}_fraction"
        return Entry("repetition", {**asked, field: limit})
    if not isinstance(unit, int) or not 2 <= unit <= 10:
        raise a.reject("granularity", "line, paragraph, or a whole number in [2, 10]")
    ratio = a.get("ngram_char_ratio") or ("most_common" if unit <= 4 else "all")
    if ratio not in ("most_common", "all"):
        raise a.reject("ngram_char_ratio", "most_common or all")
    kind = "top_ngrams" if ratio == "most_common" else "repeated_ngrams"
    return Entry("repetition", {**asked, kind: {str(unit): limit}})


def _word_count(a: Arguments) -> Entry:
    a.require("overwrite", False, [False])
    return Entry("word_count", {"column": a.get("key", "word_count"), **_words_of_column(a)})


def _word_removal(a: Arguments) -> Entry:
    a.require("new_word_count_key", None, [None])
    bounds = {"column": a.get("prev_word_count_key"), "max_fraction": a.get("max_removed_ratio", 0.05)}
    return Entry("word_removal_ratio", {**bounds, **_words_of_column(a)})


def _long_words(a: Arguments) -> Entry:
    a.require("ignore_punctuation", False, [False])
    words, most = _kind_of_word(a), {"max_length": a.get("max_length", 1000)}
    return Entry("long_word_lines", most if words == "whitespace" else {**most, "words": words})


def _stop_words(a: Arguments) -> Entry:
    least = a.get("min_stop_word", 2)
    return Entry("stop_words", {"min_count": least or 1, "unique": a.get("count_unique", False)})  # 0 also requires one


def _fasttext_score(a: Arguments) -> Entry:
    a.get("overwrite")
    name = PurePosixPath(str(a.get("model_filename", "model.bin"))).name
    return Entry("fasttext_score", {"model": name, "column": a.get("key", "fasttext_hq_prob")})


def _quality(a: Arguments) -> Entry:
    a.require("key_must_exist", True, [True])
    side = "max" if a.get("lower_better", False) else "min"
    return Entry("threshold", {"column": a.get("key", "fasttext_hq_prob"), side: a.get("threshold", 0.0)})


def _letters_per_token(a: Arguments) -> Entry:
    name = a.get("tokenizer_name", "EleutherAI/pythia-6.9b-deduped")
    if not str(name).startswith("EleutherAI/pythia-"):
        raise a.reject("tokenizer_name", "one of EleutherAI/pythia-…, whose tokenizer is GPT-NeoX's")
    return Entry("alphabetic_token_ratio", {})


def _justext(a: Arguments, before: list[Entry]) -> list[Entry]:
    if before:
        raise Inexpressible("`html_content_extraction_modifier` must come before all other mappers")
    a.notes.append("justext keeps the main text here; in DCLM, which passes it no stop words, it keeps every paragraph")
    return [Entry("extract", {"with": "justext"})]


MAPPERS: Mapping[str, Mapper] = {
    "move_url_modifier": _nothing("the reader reads the URL from the record"),
    "key_name_modifier": _nothing("the reader knows `text` and `content`", "old_key", "new_key", "allow_overwrite"),
    "split_lines_modifier": split,
    "join_lines_modifier": join,
    "html_content_extraction_modifier": _justext,
    "url_substring_filter": _one(_url_substring),
    "url_removal_modifier": _one(_url_removal),
    "newline_removal_modifier": _simple("newlines", {"max_consecutive": "max_consecutive"}),
    "detect_lang_whole_page_enricher": _one(detect_language),
    "language_filter": filter_language,
    "page_length_filter": _one(_page_length),
    "word_length_filter": _simple("word_length", {"min_length": "min", "max_length": "max"}, min=0, max=None),
    "symbol_ratio_filter": _simple("symbol_ratio", {"max_symbol_to_word_ratio": "max"}),
    "bullet_count_filter": _simple("bullet_lines", {"max_bullet_start_ratio": "max_fraction"}),
    "ellipsis_count_filter": _simple("ellipsis_lines", {"max_ellipsis_end_ratio": "max_fraction"}),
    "alphabetic_word_ratio_filter": _simple("alphabetic_words", {"max_ratio": "max_other_fraction"}),
    "stop_word_filter": _one(_stop_words),
    "massive_web_repetition_filters": _one(_all_repetition),
    "repetition_filter": _one(_repetition),
    "line_length_filter": _simple("line_length", {"length_type": "of", "max_length": "max"}),
    "alphabetic_characters_to_tokens_filter": _one(_letters_per_token),
    "alphanumeric_char_ratio_filter": _simple("alphanumeric_ratio", {"max_alnum_ratio": "min_fraction"}),
    "word_counter_enricher": _one(_word_count),
    "word_removal_ratio_filter": _one(_word_removal),
    "uppercase_ratio_line_modifier": _simple("uppercase_lines", {"max_ratio": "max_ratio"}, max_ratio=0.5),
    "numeric_ratio_line_modifier": _simple("numeric_lines", {"max_ratio": "max_ratio"}, max_ratio=1.0),
    "counter_line_modifier": _simple("counter_lines", {}),
    "line_length_modifier": _simple("line_words", {"min_length": "min", "max_length": "max"}),
    "word_length_modifier": _one(_long_words),
    "punctuation_line_modifier": _simple("punctuation_lines", {"remove_ellipses": "remove_ellipses"}),
    "substring_line_modifier": _one(_substring_lines),
    "citation_removal_modifier": _simple("citations", {}),
    "within_page_dedup": _simple("within_page_dedup", {"granularity": "granularity", "normalize": "normalize"}),
    "substring_filter": _one(_substring_filter),
    "random_sampling_filter": _simple("random_sampling", {"keep_probability": "keep_fraction"}, keep_fraction=0.1),
    "classify_fasttext_hq_prob_enricher": _one(_fasttext_score),
    "quality_filter": _one(_quality),
    "exact_dedup": drop_copies,
}
"""DCLM's `func` → its equivalent, given its arguments and the steps before it."""
