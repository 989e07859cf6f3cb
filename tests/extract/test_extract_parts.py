"""The parts of extraction: encodings, the guarded process, the union, and the measure of quality."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.extract import justext
from dclm.extract.encoding import decode_detected, decode_utf8
from dclm.extract.extractors import NAMES, load_extractor
from dclm.extract.guard import ExtractionError, Guard, cpu_seconds
from dclm.extract.quality import GoldPage, agreement, load_gold, measure
from dclm.extract.union import union
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file

TEXTS = {
    "cp1252": "“Grüße” aus Köln – schöne Straße für alle",
    "cp1251": "Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства",
    "koi8-r": "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "shift_jis": "日本語のテキストをここに書きます。ひらがなとカタカナ",
    "gbk": "这是一个用来测试编码检测的中文句子，应该足够长",
    "euc-kr": "한국어 문장을 인코딩 검출 시험에 사용합니다",
    "iso-8859-7": "Οι ευτυχισμένοι άνθρωποι ζούνε περισσότερα χρόνια",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_header_and_meta_name_the_encoding(encoding: str) -> None:
    text = TEXTS[encoding]
    assert decode_utf8(text.encode(encoding)) is None
    assert decode_detected(text.encode(encoding), f'text/html; Charset="{encoding}"') == text
    page = f"<html><head><META http-equiv=x content='text/html; charset={encoding}'><p>{text}"
    assert decode_detected(page.encode(encoding), "text/html") == page


@pytest.mark.parametrize("encoding", TEXTS)
def test_without_a_label_statistics_find_the_encoding(encoding: str) -> None:
    text = TEXTS[encoding] * 20
    if encoding != "cp1252":
        assert decode_detected(text.encode(encoding), None) == text


def test_utf8_wins_over_a_wrong_label_and_a_byte_order_mark_over_all() -> None:
    assert decode_detected("grüße".encode(), "text/html; charset=iso-8859-1") == "grüße"
    for codec in ("utf-8-sig", "utf-16"):
        assert decode_detected("grüße 日本".encode(codec), "text/html; charset=koi8-r") == "grüße 日本"
    jis = "日本語のテキスト".encode("iso2022_jp")
    assert decode_detected(jis, "text/html; charset=iso-2022-jp") == "日本語のテキスト"


PAGE = "<html><head><title>t</title></head><body><p>%s</p></body></html>"
ENGLISH = "A plain English page, in which no character lies beyond ASCII. " * 3


@pytest.mark.parametrize("where", ["header", "meta", "xml"])
@pytest.mark.parametrize("text", [*TEXTS.values(), ENGLISH])
def test_a_flaw_changes_nothing_about_the_declared_encoding(text: str, where: str) -> None:
    label = '<meta charset="utf-8">' if where == "meta" else ""
    page = PAGE % (label + text)
    page = '<?xml version="1.0" encoding="utf-8"?>' + page if where == "xml" else page
    body, kind = page.encode(), "text/html; charset=utf-8" if where == "header" else "text/html"
    at = len(body) - 20
    odd = next((c.encode() for c in text if c > "\x7f"), b"e")
    for flaw in (body[:at] + b"\xff" + body[at:], body.replace(odd, odd[:-1] + b" ", 1)):
        found = decode_detected(flaw, kind)
        assert found == flaw.decode("utf-8", "replace")
    cut = PAGE[:47].encode() + "яблоко".encode()[:-1]
    assert decode_detected(cut, "text/html; charset=utf-8").endswith("яблок\ufffd")


def test_what_is_mostly_utf8_is_utf8_without_a_label_too() -> None:
    text = TEXTS["cp1251"] * 5
    assert decode_detected((PAGE % text).encode()[:-20] + b"\xff", None).startswith(PAGE[:40])


@pytest.mark.parametrize("label", ["koi8-r", "shift_jis", "utf-8"])
def test_a_declared_encoding_that_cannot_be_gives_way(label: str) -> None:
    page = PAGE % (TEXTS["cp1251"] * 20)
    if label != "koi8-r":  # in which every byte is a letter
        assert decode_detected(page.encode("windows-1251"), f"text/html; charset={label}") == page


@pytest.mark.parametrize("text", [*TEXTS.values(), ENGLISH])
def test_utf16_is_known_by_the_http_header_alone(text: str) -> None:
    for codec, label in (("utf-16-le", "utf-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "utf-16be")):
        for page in (text, PAGE % text):
            assert decode_detected(page.encode(codec), f"text/html; charset={label}") == page
    assert decode_detected((PAGE % text).encode("utf-16-be"), "text/html; charset=utf-16") == PAGE % text
    assert decode_detected((PAGE % text).encode("utf-16-le"), "text/html") == PAGE % text
    assert decode_detected((PAGE % text).encode(), "text/html; charset=utf-16") == PAGE % text


@pytest.mark.shared
def test_the_page_of_the_report_keeps_its_letters(shared: Path) -> None:
    (file,) = list_files([str(shared / "cases/11_one_bad_byte/page.warc.gz")])
    rows = [row for batch in read_file(file, Tally()) for row in batch.to_pylist()]
    texts = [decode_detected(row["body"], row["content_type"]) for row in rows]
    assert all("Городская библиотека" in text for text in texts)


@pytest.mark.parametrize("label", ["idna", "unicode_escape", "hex", "rot13", "punycode", "x-none", "utf-8", "é"])
def test_no_page_chooses_a_codec_that_html_does_not_have(label: str) -> None:
    body = b"caf\xe9 \\u0041 au lait, d\xe9j\xe0 vu"
    assert decode_detected(body, f"text/html; charset={label}") == "café \\u0041 au lait, déjà vu"


@given(st.binary(max_size=300), st.text(max_size=40))
def test_detection_always_gives_text_that_can_be_written(body: bytes, content_type: str) -> None:
    decode_detected(body, content_type).encode("utf-8")


def test_the_guard_gives_what_the_extractor_gives_and_keeps_its_process() -> None:
    guard = Guard("resiliparse", 30, 1 << 30)
    extract = load_extractor("resiliparse")
    for page in ("<p>one</p>", "", "<p>zwei grüße \0", "<p>" + "x" * 3_000_000):
        assert guard.extract(page.encode()) == extract(page)
    process = guard._process
    assert process is not None
    guard.extract(b"<p>again")
    assert guard._process is process
    guard.close()
    assert process.returncode is not None


def test_a_killed_process_costs_one_page() -> None:
    guard = Guard("resiliparse", 30, 1 << 30)
    guard.extract(b"<p>a")
    assert guard._process is not None
    os.kill(guard._process.pid, signal.SIGKILL)
    guard._process.wait()
    with pytest.raises(ExtractionError, match="parser failed: it died"):
        guard.extract(b"<p>b")
    assert guard.extract(b"<p>c") == "c"
    guard.close()


def test_what_the_process_works_is_counted_once_while_it_runs_and_after() -> None:
    before = cpu_seconds() - time.process_time()
    guard = Guard("trafilatura", 30, 1 << 30)
    guard.extract(b"<p>one two three</p>" * 1000)
    running = cpu_seconds() - time.process_time() - before
    assert running > 0
    assert guard.child_seconds == pytest.approx(running, abs=0.02)
    guard.close()
    ended = cpu_seconds() - time.process_time() - before
    assert running - 0.02 <= ended < 1.5 * running + 0.02  # the system counts in ticks


def test_no_page_is_blamed_when_the_process_cannot_start() -> None:
    guard = Guard("resiliparse", 30, 1 << 30)
    guard._command[2] = "dclm.extract.nothing"
    with pytest.raises(RuntimeError, match="the process does not start"):
        guard.extract(b"<p>a")


def test_a_guard_that_is_dropped_takes_its_process_along() -> None:
    guard = Guard("resiliparse", 30, 1 << 30)
    guard.extract(b"<p>a")
    process = guard._process
    assert process is not None
    del guard
    gc.collect()
    assert process.returncode is not None


def test_a_process_whose_parent_is_gone_ends_by_itself() -> None:
    page = b"<div>" * 100_000
    command = [sys.executable, "-m", "dclm.extract.child", "resiliparse", str(1 << 30), "0.5"]
    done = subprocess.run(command, input=len(page).to_bytes(8, "little") + page, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGALRM


def test_the_union_adds_only_lines_with_new_words() -> None:
    first = "one two three four five six\nalpha beta"
    other = "two three four five six\nalpha beta\nseven eight\nsix one two three four five\nseven eight"
    assert union([first, other]) == first + "\nseven eight\nsix one two three four five"
    assert union(["", "a\n\nb"]) == "a\nb"
    assert union(["a", ""]) == "a"


@given(st.lists(st.text(alphabet="ab \n", max_size=40), min_size=1, max_size=4))
def test_the_union_keeps_the_first_text_and_every_word_of_the_others(texts: list[str]) -> None:
    joined = union(texts)
    assert joined.startswith(texts[0])
    assert {w for t in texts for w in t.split()} == set(joined.split())
    assert union([joined, *texts]) == joined


def test_agreement_counts_tokens() -> None:
    assert agreement("a B c", "a b d d") == (2 / 3, 2 / 4, 4 / 7)
    assert agreement("", "") == (1, 1, 1)
    assert agreement("a", "") == (0, 0, 0)
    assert agreement("日本語", "日本") == (2 / 3, 1, 4 / 5)


PROSE = {
    "English": "It was the best of times, it was the worst of times, it was the age of wisdom, and of doubt.",
    "Russian": "Все счастливые семьи похожи друг на друга, а каждая несчастливая семья несчастлива по-своему.",
    "Polish": "Ile cię trzeba cenić, ten tylko się dowie, kto cię stracił; dziś piękność twą w całej ozdobie widzę.",
    None: "幸福的家庭都是相似的，不幸的家庭各有各的不幸。奥布朗斯基家里一切都混乱了。",
}


@pytest.mark.parametrize("language", PROSE)
def test_justext_takes_the_stop_words_of_the_pages_language(language: str | None) -> None:
    text = " ".join([PROSE[language]] * (4 if language else 3))
    links = "".join(f"<li><a href='/{n}'>Menu {n}</a></li>" for n in range(9))
    assert justext.language_of(text) == language
    assert justext.extract(f"<body><ul>{links}</ul><p>{text}</p><p>{text}</p></body>") == f"{text}\n{text}"


def test_quality_is_the_mean_over_pages() -> None:
    pages = [GoldPage("a b", "a b", ("A  b", "c"), ("x", "b")), GoldPage("a", "b", (), ())]
    quality = measure("same", lambda html: html, pages)
    assert (quality.f1, quality.present_fraction, quality.absent_fraction) == (0.5, 0.5, 0.5)


@pytest.mark.shared
def test_resiliparse_finds_most_of_what_people_marked(shared: Path) -> None:
    crawl = (b for f in list_files([str(shared / "web/crawl-*.warc.gz")]) for b in read_file(f, Tally()))
    gold = load_gold(shared / "web/gold.jsonl.gz", crawl)
    assert len(gold) == 1450
    assert all(page.html and page.text for page in gold)
    quality = measure("resiliparse", load_extractor("resiliparse"), gold[::15])
    assert 0.7 < quality.f1 < 0.9
    assert quality.recall > 0.9
    assert quality.present_fraction > 0.7
    assert quality.absent_fraction > 0.8
    assert set(NAMES) == {"resiliparse", "trafilatura", "trafilatura_precise", "justext"}
