"""Masking: addresses are found as with datatrove's expression, in linear time."""

from __future__ import annotations

import re

import pytest
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
    step = PiiMasking(rules="fineweb", ips=False, email_replacements=("<E>",))
    assert edit(step, texts) == [EMAIL.sub("<E>", text) for text in texts]


def test_replacements_take_turns_and_start_anew_with_each_page() -> None:
    page = "a@b.com c@d.org e@f.net 8.8.8.8 1.1.1.1"
    masked = "email@example.com firstname.lastname@example.org email@example.com 22.214.171.124 126.96.36.199"
    for step in (PiiMasking(), PiiMasking(rules="fineweb")):
        assert edit(step, [page, page]) == [masked, masked]


def test_only_public_addresses_are_masked_unless_asked() -> None:
    page = "10.0.0.1 127.0.0.1 192.168.1.1 010.1.1.1 8.8.4.4"
    assert edit(PiiMasking(ip_replacements=("X",)), [page]) == ["10.0.0.1 127.0.0.1 192.168.1.1 010.1.1.1 X"]
    everything = PiiMasking(ip_replacements=("X",), public_ips_only=False)
    assert edit(everything, [page]) == ["X X X 010.1.1.1 X"]


def test_hostile_words_take_linear_time() -> None:
    texts = ["a!" * 500_000 + "@", "a." * 500_000 + "@x", "@" * 300_000, "a@" + "b-" * 500_000, "x@" + "c." * 500_000]
    texts += ["1 " * 500_000, "+1" * 300_000, "(1)" * 300_000, "a:" * 500_000, "1.2.3.4." * 200_000, "tel " * 200_000]
    for step in (PiiMasking(), PiiMasking(rules="fineweb", ips=False)):
        assert edit(step, [*texts[:4], *texts[5:]]) == [*texts[:4], *texts[5:]]
        assert edit(step, [texts[4]]) == ["email@example.com."]


def masked(text: str, **fields: object) -> str:
    marks = {
        f"{name}_replacements": (mark,) for name, mark in zip(("email", "ip", "ipv6", "phone"), "E46P", strict=True)
    }
    (found,) = edit(PiiMasking(**marks, **fields), [text])  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jürgen@bücher.example.", "Write to E."),
        ("почта: иван.петров@пример.рф!", "почта: E!"),
        ("用户@例子.广告 x", "E x"),
        ("a@xn--bcher-kva.example, b.c+d@e-f.co.uk", "E, E"),
        ("<o'neil@x.org> 'q@r.de' \"s@t.fr\"", "<E> 'E' \"E\""),
        ("me@[192.168.0.1] you@[IPv6:2001:db8::1]", "E E"),
        ("no@mail, @handle, a@b, user@1.2.3, a..b@", "no@mail, @handle, a@b, user@1.2.3, a..b@"),
    ],
)
def test_mail_addresses_of_any_script_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2606:4700:4700::1111 and 2001:4860:4860:0:0:0:0:8888.", "at 6 and 6."),
        ("[2606:4700::1111]:443, http://[2a00:1450:4001:82b::200e]/x", "[6]:443, http://[6]/x"),
        ("2606:4700::1111: fast", "6: fast"),
        ("8.8.8.8, (1.1.1.1) http://9.9.9.9:80/ 8.8.4.4/24 ping 8.8.8.8.", "4, (4) http://4:80/ 4/24 ping 4."),
    ],
)
def test_addresses_of_both_families_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "999.1.1.1 256.8.8.8 8.8.8.999 1.2.3.4.5 08.8.8.8 8.8.8.8.example.org x8.8.8.8",
        "v1.2.3.4, version 5.10.0.1, Version: 8.8.8.8, release 4.4.4.4, firmware 8.8.8.8, Chrome/103.0.0.114",
        "12:30:45 std::vector 1:2 dead::beef fe80::1 ::1 10:00 3:16 a::b 00:1A:2B:3C:4D:5E",
        "10.0.0.1 fd00::1 2001:db8::1",
        "2021-12-31 31.12.2021 12/31/2021 2021/12/31 10:30 20211231",
        "ISBN 978-3-16-148410-0, card 4111 1111 1111 1111, $1,234,567.89, 1 234 567 890, 3.14159265",
        "1 2 3 4 5 6 7 8 9 10 11 12", "01 02 03 04 05 06 07", "items 100 200 300 4000 5000", "id 123456789",
        "1914-1918 and 1939-1945", "UTC+01:00, 5+3, C++11, +100 points", "0.123 456 789", "page 007 of 0100",
        "doi 10.1000/182, arXiv 2406.11794, RFC 2119, 192-168-1", "lat 52.520008, long 13.404954", "ph 7.4",
    ],
)  # fmt: skip
def test_what_looks_like_personal_data_and_is_not_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 1234567", "+49 (0)30 123 45 67", "+1 (212) 555-0123", "+1-212-555-0123", "+14155552671",
        "+44 20 7946 0958", "0049 30 1234567", "(212) 555-0123", "212-555-0123", "212.555.0123",
        "1-800-555-0199", "+86 138 0013 8000",
        "030 12345678", "0171/1234567", "020 7946 0958", "01 23 45 67 89", "(030) 1234567", "+33 1 23 45 67 89",
        "+81-3-1234-5678", "+7 (495) 123-45-67", "+91 98765 43210", "+49\u00a030\u00a01234567",
        "212\u2013555\u20130123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["Call {} now.", "{}", "({})", "a\n{}\nb", "{}, {}"])
def test_phone_numbers_are_masked(number: str, around: str) -> None:
    assert masked(around.format(number, number)) == around.format("P", "P")
    assert masked(number, phones=False) == number
    assert masked(number, rules="fineweb") == number


@pytest.mark.parametrize(
    "text", ["Tel. 123 4567", "phone: 555-1234", "Fax: 12 34 56", "Tél : 123456", "Тел.: 123-45-67"]
)
def test_a_number_after_its_label_is_a_phone_number(text: str) -> None:
    assert masked(text).endswith("P")
    assert masked(text)[:3] == text[:3]
