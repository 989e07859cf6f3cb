"""Converting DCLM's pipeline files: the published ones become ours, and parts without an equivalent are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dclm.cli.documents.convert import convert_pipeline as command
from dclm.core.errors import ConfigError
from dclm.curate.convert import Conversion, convert_pipeline
from dclm.curate.pipeline import load_pipeline

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
LISTS = "baselines/mappers/banlists/refinedweb_banned"

BASELINE = [
    {"func": "move_url_modifier"},
    {
        "func": "url_substring_filter", "banlist_from_fname": f"{LISTS}_domains_curated.txt",
        "exact_domain_match": True, "ignore_chars": ["www"],
    },
    {
        "func": "url_substring_filter", "banlist_from_fname": f"{LISTS}_words_strict_reverse_engineered.txt",
        "ignore_chars": ["-", "."],
    },
    {
        "func": "url_substring_filter", "banlist_from_fname": f"{LISTS}_words_hard_reverse_engineered.txt",
        "match_substrings": False,
    },
    {
        "func": "url_substring_filter", "banlist_from_fname": f"{LISTS}_words_soft_reverse_engineered.txt",
        "num_banned_substrs": 2, "match_substrings": False,
    },
    {"func": "url_removal_modifier"},
    {"func": "newline_removal_modifier", "max_consecutive": 2},
    {"func": "detect_lang_whole_page_enricher", "model": "fasttext", "key_prefix": "language_id_whole_page"},
    {
        "func": "language_filter", "key": "language_id_whole_page_fasttext", "keep_languages": ["en"],
        "threshold": 0.65,
    },
    {
        "func": "page_length_filter", "length_type": "word", "min_length": 50, "max_length": 100000,
        "ignore_punctuation": True,
    },
    {"func": "word_length_filter", "min_length": 3, "max_length": 10},
    {"func": "symbol_ratio_filter", "max_symbol_to_word_ratio": 0.1},
    {"func": "bullet_count_filter", "max_bullet_start_ratio": 0.9},
    {"func": "ellipsis_count_filter", "max_ellipsis_end_ratio": 0.3},
    {"func": "alphabetic_word_ratio_filter", "max_ratio": 0.2},
    {"func": "stop_word_filter", "count_unique": False, "min_stop_word": 2},
    {"func": "massive_web_repetition_filters"},
    {"func": "word_counter_enricher", "key": "previous_word_count"},
    {"func": "uppercase_ratio_line_modifier", "max_ratio": 0.5},
    {"func": "numeric_ratio_line_modifier", "max_ratio": 0.999999},
    {"func": "counter_line_modifier"},
    {"func": "line_length_modifier", "min_length": 2},
    {"func": "substring_line_modifier", "max_length": 10, "banlist": "items in cart", "remove_substring_only": True},
    {
        "func": "substring_line_modifier", "max_length": 10, "banlist": "Read more...", "location": "suffix",
        "remove_substring_only": True,
    },
    {
        "func": "substring_line_modifier", "max_length": 10, "banlist": "Sign-in", "location": "prefix",
        "remove_substring_only": True,
    },
    {"func": "word_removal_ratio_filter", "prev_word_count_key": "previous_word_count", "max_removed_ratio": 0.05},
]  # fmt: skip


SENTENCES = {
    "func": "page_length_filter", "length_type": "sentence", "min_length": 3, "tokenizer": "nltk",
    "tokenizer_lang": "english",
}  # fmt: skip
POLICIES = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
C4 = [
    {"func": "move_url_modifier"},
    {"func": "key_name_modifier"},
    {"func": "page_length_filter", "length_type": "char", "max_length": 190000},
    {"func": "word_length_modifier", "max_length": 1000, "model": "split"},
    {"func": "citation_removal_modifier"},
    {"func": "punctuation_line_modifier", "remove_ellipses": True},
    {"func": "line_length_modifier", "min_length": 5},
    {"func": "substring_filter", "banlist": ["lorem ipsum"]},
    {"func": "substring_line_modifier", "banlist": ["javascript"]},
    {"func": "substring_filter", "banlist": ["{"]},
    {"func": "substring_line_modifier", "banlist": POLICIES},
    SENTENCES,
    {"func": "split_lines_modifier", "delimiter": "\n"},
    {"func": "exact_dedup", "content_key": "url", "normalize": "normalize_url"},
    {
        "func": "exact_dedup", "content_key": "text", "normalize": "normalize_whitespace_and_lowercase",
        "selection_key": "url", "selection_normalize": "hash_text",
    },
    {"func": "join_lines_modifier", "delimiter": "\n"},
    {"func": "within_page_dedup", "granularity": "line", "normalize": True},
    SENTENCES,
    {"func": "substring_filter", "banlist_from_fname": "baselines/mappers/banlists/ldnoobw.txt", "exact_word": True},
    {"func": "detect_lang_whole_page_enricher", "model": "langdetect", "seed": 0, "_aggregate": {"x": {}}},
    {
        "func": "language_filter", "key": "language_id_whole_page_langdetect", "keep_languages": ["en"],
        "threshold": 0.99,
    },
]  # fmt: skip


def convert(steps: object, folder: Path, source: str | None = None) -> Conversion:
    path = folder / "theirs.yaml"
    path.write_text(yaml.safe_dump([{"source": "cc", "steps": steps}]), encoding="utf-8")
    return convert_pipeline(path, source)


def test_dclm_baseline_refinedweb_becomes_our_dclm_refinedweb(tmp_path: Path) -> None:
    conversion = convert(BASELINE, tmp_path)
    assert conversion.problems == ()
    ours = tmp_path / "ours.yaml"
    ours.write_text(conversion.as_yaml(), encoding="utf-8")
    assert load_pipeline(ours).steps == load_pipeline(PIPELINES / "dclm_refinedweb.yaml").steps[1:]


def test_c4_becomes_our_c4(tmp_path: Path) -> None:
    conversion = convert(C4, tmp_path)
    assert conversion.problems == ()
    ours = tmp_path / "ours.yaml"
    ours.write_text(conversion.as_yaml(), encoding="utf-8")
    assert load_pipeline(ours).steps == load_pipeline(PIPELINES / "c4.yaml").steps[1:]


def test_the_quality_cut_becomes_the_last_steps_of_dclm_baseline(tmp_path: Path) -> None:
    steps = [
        {"func": "classify_fasttext_hq_prob_enricher", "model_filename": "fasttext_oh_eli5.bin", "key": "quality"},
        {"func": "quality_filter", "key": "quality", "threshold": 0.018112},
        {"func": "random_sampling_filter"},
        "commit",
    ]
    conversion = convert(steps, tmp_path)
    assert [entry.step for entry in conversion.entries] == ["fasttext_score", "threshold", "random_sampling"]
    assert conversion.entries[1].fields == {"column": "quality", "min": 0.018112}
    assert conversion.entries[2].fields == {"keep_fraction": 0.1}
    assert any("commit" in note for note in conversion.notes)


def test_arguments_left_out_are_dclms_own_defaults(tmp_path: Path) -> None:
    names = ("word_length_filter", "numeric_ratio_line_modifier", "random_sampling_filter")
    entries = convert([{"func": name} for name in names], tmp_path).entries
    assert [e.fields for e in entries] == [{"min": 0, "max": None}, {"max_ratio": 1.0}, {"keep_fraction": 0.1}]
    (entry,) = convert([{"func": "word_length_filter", "min_length": 3}], tmp_path).entries
    assert entry.fields == {"min": 3, "max": None}


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ({"func": "arxiv_macro_modifier"}, "arxiv_macro_modifier"),
        ({"func": "my.code.mapper"}, "custom"),
        ({"func": "counter_line_modifier", "extra": 1}, "extra"),
        ({"func": "substring_line_modifier", "banlist": "a|b"}, "regular expression"),
        ({"func": "url_substring_filter", "banlist_from_fname": "x/list.pkl"}, "pickle"),
        ({"func": "language_filter", "keep_languages": ["en"]}, "no earlier mapper writes"),
        ({"func": "repetition_filter", "granularity": 20, "max_fraction": 0.1}, "granularity"),
        ({"func": "exact_dedup", "content_key": "text", "selection_key": "url"}, "selection_key"),
        ({"func": "split_lines_modifier", "delimiter": ";"}, "delimiter"),
        ({"func": "join_lines_modifier"}, "split_lines_modifier"),
        ({"func": "page_length_filter", "length_type": "sentence"}, "tokenizer"),
        ({"func": "alphabetic_characters_to_tokens_filter", "tokenizer_name": "gpt2"}, "tokenizer_name"),
        ({"func": "quality_filter", "key": "q", "key_must_exist": False}, "key_must_exist"),
        ({"func": "word_length_modifier", "model": "spacy"}, "model"),
        ({"func": "word_counter_enricher", "ignore_whitespace": False}, "ignore_whitespace"),
        ({"func": "detect_lang_whole_page_enricher", "model": "langdetect"}, "seed"),
        ({"func": "detect_lang_whole_page_enricher", "model": "cld3"}, "cld3"),
        ({"function": "x"}, "func"),
        (7, "func"),
    ],
)
def test_what_cannot_be_expressed_is_named_with_its_place(tmp_path: Path, step: object, named: str) -> None:
    conversion = convert(["commit", step], tmp_path)
    assert conversion.entries == ()
    [problem] = conversion.problems
    assert named in problem.what
    assert "theirs.yaml" in problem.where
    assert "NOT EXPRESSED" in conversion.as_yaml()


@pytest.mark.parametrize(
    ("step", "ours"),
    [
        (
            {"func": "substring_filter", "banlist": "A", "case_sensitive": True},
            {"words": ["A"], "case_sensitive": True},
        ),
        ({"func": "word_length_modifier"}, {"max_length": 1000, "words": "fasttext"}),
        ({"func": "word_counter_enricher", "model": "split"}, {"column": "word_count", "words": "whitespace"}),
        ({"func": "stop_word_filter", "min_stop_word": 0}, {"min_count": 1, "unique": False}),
        ({"func": "line_length_modifier", "max_length": float("inf")}, {"max": None}),
        ({"func": "page_length_filter", "length_type": "char", "max_length": float("inf")}, {"of": "char", "min": 1}),
        (
            {"func": "page_length_filter", "length_type": "line", "remove_empty": False},
            {"of": "line", "min": 1, "count_blank": True},
        ),
        (
            {"func": "url_substring_filter", "banlist": ["a"], "ignore_chars": "-."},
            {"words": ["a"], "match": "substring", "ignore": ["-", "."]},
        ),
        (
            {"func": "word_removal_ratio_filter", "prev_word_count_key": "n", "ignore_punctuation": False},
            {"column": "n", "max_fraction": 0.05, "ignore_punctuation": False},
        ),
    ],
)
def test_arguments_that_pipelines_seldom_give_are_kept(
    tmp_path: Path, step: dict[str, object], ours: dict[str, object]
) -> None:
    conversion = convert([step], tmp_path)
    assert conversion.problems == ()
    assert conversion.entries[0].fields == ours
    path = tmp_path / "ours.yaml"
    path.write_text(conversion.as_yaml(), encoding="utf-8")
    assert len(load_pipeline(path).steps) == 1


def test_what_justext_does_otherwise_is_noted(tmp_path: Path) -> None:
    assert "every paragraph" in convert([{"func": "html_content_extraction_modifier"}], tmp_path).notes[0]


def test_histograms_are_noted_and_dots_kept_wild(tmp_path: Path) -> None:
    step = {"func": "substring_filter", "banlist": "a.b", "_aggregate": {"x": {"type": "histogram"}}}
    conversion = convert([step], tmp_path)
    assert conversion.entries[0].fields == {"words": ["a.b"], "dot_matches_any": True}
    assert any("_aggregate" in note for note in conversion.notes)


@pytest.mark.parametrize("text", ["name: x\nsteps: []\n", "[]", "- 1\n", ""])
def test_what_is_no_dclm_pipeline_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="not a DCLM pipeline"):
        convert_pipeline(path)


def test_one_of_several_sources_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "- {source: a, steps: [{func: counter_line_modifier}]}\n- {source: b, steps: []}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="a, b"):
        convert_pipeline(path)
    with pytest.raises(ConfigError, match="no source `c`"):
        convert_pipeline(path, "c")
    assert [entry.step for entry in convert_pipeline(path, "a").entries] == ["counter_lines"]


def test_the_command_writes_a_pipeline_and_refuses_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text("- {source: a, steps: [{func: counter_line_modifier}, {func: nope}]}\n", encoding="utf-8")
    refused = CliRunner().invoke(command, [str(path)])
    assert isinstance(refused.exception, ConfigError)
    assert refused.stdout == ""
    partial = CliRunner().invoke(command, [str(path), "--partial"])
    assert partial.exit_code == 0
    written = tmp_path / "ours.yaml"
    written.write_text(partial.stdout, encoding="utf-8")
    assert [step.name for step in load_pipeline(written).steps] == ["counter_lines"]
