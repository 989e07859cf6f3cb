"""Masking: addresses are found as by datatrove's expression, in linear time."""

from __future__ import annotations

import re

from edited import edit
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.filters.pii import PiiMasking

EMAIL = re.compile(
    r"\b[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:(?:[A-Za-z0-9]"
    r"(?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?|\[(?:(?:25[0-5]|2[0-4][0-9]|"
    r"[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?|[A-Za-z0-9-]*[A-Za-z0-9]:)\])"
)
PIECES = st.sampled_from(
    ["a", "b1", "@", ".", "..", "-", "!", "é", " ", "_", "c.d", "x@y.zz", "[1.2.3.4]", "[1.2.3.", "a:]", "9"]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=3))
def test_emails_are_found_as_the_expression_finds_them(texts: list[str]) -> None:
    step = PiiMasking(ips=False, email_replacements=("<E>",))
    assert edit(step, texts) == [EMAIL.sub("<E>", text) for text in texts]


def test_replacements_take_turns_and_start_anew_with_each_page() -> None:
    page = "a@b.com c@d.org e@f.net 8.8.8.8 1.1.1.1"
    masked = "email@example.com firstname.lastname@example.org email@example.com 22.214.171.124 126.96.36.199"
    assert edit(PiiMasking(), [page, page]) == [masked, masked]


def test_only_public_addresses_are_masked_unless_asked() -> None:
    page = "10.0.0.1 127.0.0.1 192.168.1.1 010.1.1.1 8.8.4.4"
    assert edit(PiiMasking(ip_replacements=("X",)), [page]) == ["10.0.0.1 127.0.0.1 192.168.1.1 010.1.1.1 X"]
    everything = PiiMasking(ip_replacements=("X",), public_ips_only=False)
    assert edit(everything, [page]) == ["X X X 010.1.1.1 X"]


def test_hostile_words_take_linear_time() -> None:
    texts = ["a!" * 500_000 + "@", "a." * 500_000 + "@x", "@" * 300_000, "a@" + "b-" * 500_000, "x@" + "c." * 500_000]
    assert edit(PiiMasking(), texts[:4]) == texts[:4]
    assert edit(PiiMasking(), texts[4:]) == ["email@example.com."]
