"""YAML becomes dataclasses: what is understood, and that all errors are reported at once, with their lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.config import MAX_VALUES, Count, Fraction, Positive, build, load_yaml, parse_yaml
from dclm.core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    path: str
    share: Fraction = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    size: Positive = 1
    kind: Literal["first", "last"] = "first"
    with_: str | tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    counts: Mapping[str, Count] = dataclasses.field(default_factory=dict)
    limit: float | None = None
    anything: object = None

    def __post_init__(self) -> None:
        if self.size > 10 and self.limit is not None:
            raise ValueError("give a size above 10 or a limit, not both")


def whole(text: str) -> Whole:
    return build(Whole, parse_yaml(text, "w.yaml"))


def error(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        whole(text)
    return str(caught.value)


def test_every_form_is_understood() -> None:
    text = """
name: w
size: 3
kind: last
with: [a, b]
keep: [en, de]
parts: [{path: p}, {path: q, share: 0.5}]
counts: {a: 0, b: 7}
limit: 2
anything: {x: [1, 2.5, null, true]}
"""
    assert whole(text) == Whole(
        name="w", size=3, kind="last", with_=("a", "b"), keep=("en", "de"),
        parts=(Part(path="p"), Part(path="q", share=0.5)), counts={"a": 0, "b": 7}, limit=2.0,
        anything={"x": [1, 2.5, None, True]},
    )  # fmt: skip


def test_all_errors_are_told_at_once_with_their_lines() -> None:
    found = error("naem: w\nsize: 0\nkind: frist\nparts:\n  - {path: p}\n  - {share: 1.5}\ncounts: {a: -1}\n")
    assert found.splitlines() == [
        "w.yaml:1: naem: unknown field, allowed: name, size, kind, with, keep, parts, counts, limit, anything",
        "w.yaml:2: size: found 0, allowed: a number ≥ 1",
        "w.yaml:3: kind: found 'frist', allowed: first | last",
        "w.yaml:6: parts[1].share: found 1.5, allowed: a number in [0, 1]",
        "w.yaml:6: parts[1]: `path` is missing, allowed: text",
        "w.yaml:7: counts.a: found -1, allowed: a number ≥ 0",
        "w.yaml:1: `name` is missing, allowed: text",
        "hint: did you mean `name`?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: 3", "found 3, allowed: text"),
        ("name: w\nsize: 2.0", "found 2.0, allowed: a whole number"),
        ("name: w\nsize: true", "found True, allowed: a whole number"),
        ("name: w\nlimit: .nan", "found nan, allowed: a finite number"),
        ("name: w\nparts: {path: p}", "allowed: a list of a map (Part)"),
        ("name: w\nparts: p", "allowed: a list of a map (Part)"),
        ("name: w\nkeep: {a: b}", "allowed: a list of text"),
        ("name: w\nsize: 11\nlimit: 1", "give a size above 10 or a limit, not both"),
        ("name: w\nname: v", "`name` occurs twice"),
        ("name: !!python/object:os.system x", "is not allowed"),
        ("name: [w", "not valid YAML"),
        ("name: w\n---\nname: v", "not valid YAML"),
        ("- name", "allowed: a map with name"),
        ("", "`name` is missing"),
    ],
)
def test_what_is_wrong_is_said(text: str, expected: str) -> None:
    assert expected in error(text)


def test_one_word_or_number_is_a_list_of_it() -> None:
    assert whole("name: w\nkeep: en").keep == ("en",)
    assert whole("name: w\nwith: a").with_ == "a"  # if both are allowed, it stays as it is
    assert "found 3, allowed: text" in error("name: w\nkeep: 3")


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("1e-9", 1e-9), ("1E5", 1e5), ("-2.5e+3", -2500.0), (".5", 0.5), ("5.", 5.0), ("1_000_000", 1_000_000),
        ("0x1F", 31), ("-7", -7), ("0", 0), ("no", "no"), ("on", "on"), ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"), ("012", "012"), ("1.2.3", "1.2.3"), ("e5", "e5"), ("true", True), ("False", False),
        ("~", None), ("", None), ("'1'", "1"), ('"no"', "no"),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(scalar: str, expected: object) -> None:
    found = whole(f"name: w\nanything: {scalar}").anything
    assert (type(found), found) == (type(expected), expected)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_yaml_dumps_is_read_back(value: object) -> None:
    assert parse_yaml(yaml.safe_dump({"v": value})).value == {"v": value}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "[" * 5000 + "]" * 5000,
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    ],
    ids=["within itself", "deep", "grown by aliases"],
)
def test_what_a_stranger_made_endless_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"nested too deeply|more than {MAX_VALUES:,} values"):
        parse_yaml(text)


def test_a_file_that_is_not_there_or_not_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "bytes.yaml")
