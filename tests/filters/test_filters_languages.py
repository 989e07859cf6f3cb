"""Rules in languages other than English, and words however a page typesets them."""

from __future__ import annotations

import gzip
import json
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.config import build as build_config
from dclm.core.config import parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.pipeline import load_pipeline
from dclm.curate.step import Context, Filter
from dclm.filters.language.fasttext import Language
from dclm.filters.language.heliport import Heliport
from dclm.filters.language.invisible import without_invisible
from dclm.filters.rules.fineweb import FinewebQuality
from dclm.filters.rules.gopher import AlphabeticWords, StopWords, SymbolRatio
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import PageLength, WordLength
from dclm.text.counting.stop_lists import find_stop_list, shipped_languages, stop_lists
from dclm.text.counting.stop_words import STOP_WORDS
from dclm.text.features import FEATURES
from dclm.text.fold import fold

PAGES = {
    "en": "The committee decided to meet again with the members that have a question, and to think of an answer.",
    "de": "Der Ausschuss beschloss, sich mit den Mitgliedern wieder zu treffen, und die Frage ist nicht für alle neu.",
    "ru": "Комитет решил снова собраться, и члены не знали, что это будет на следующей неделе, но от вопроса не ушли.",
    "zh": "委员会决定下周再次开会讨论这个问题，因为上一次会议的时间不够，大家都没有得出一个结论。"
    "他们希望这次能有结果。",
    "ja": "委員会は来週もう一度会議を開いてこの問題について話し合うことにした。前回は時間が足りなかったからである。",
    "th": "คณะกรรมการได้ตัดสินใจที่จะประชุมอีกครั้งในสัปดาห์หน้าเพื่อพูดคุยเกี่ยวกับปัญหานี้ เพราะการประชุมครั้งที่แล้วมีเวลาไม่พอและไม่ได้ข้อสรุป",
    "ar": "قررت اللجنة أن تجتمع مرة أخرى في الأسبوع القادم من أجل مناقشة هذا الموضوع الذي كان على جدول الأعمال.",
    "hi": "समिति ने अगले सप्ताह फिर से बैठक करने का निर्णय लिया है और इस विषय पर चर्चा के लिए सदस्यों को बुलाया है।",
}
LIMITS = {
    "zh": {"min_word_length": 1},
    "ja": {"min_word_length": 1},
    "th": {"min_word_length": 1},
    "hi": {"min_word_length": 2},
}


@pytest.fixture
def lid(shared: Path) -> Path:
    return shared / "models" / "lid.176.ftz"


def batch_of(step: Filter, texts: list[str], languages: list[str | None] | None = None) -> pa.RecordBatch:
    text = pa.array(texts, pa.string())
    columns = {"text": text, **{f"_{name}": FEATURES[name](text) for name in step.features}}
    if languages is not None:
        columns["language"] = pa.array(languages, pa.string())
    return pa.record_batch(columns)


def kept(step: Filter, texts: list[str], languages: list[str | None] | None = None) -> list[bool]:
    function = step.open(Context())
    assert len(function(batch_of(step, [], languages and []))) == 0
    return function(batch_of(step, texts, languages)).to_pylist()


def test_gopher_keeps_pages_of_other_languages_with_their_own_words_and_limits() -> None:
    texts, languages = [f"{page}\n{page}" for page in PAGES.values()], list(PAGES)
    english = GopherQuality(min_words=30)
    assert kept(english, texts) == [language == "en" for language in languages]
    own = GopherQuality(min_words=30, stop_words="by_language", by_language=LIMITS)
    assert kept(own, texts, languages) == [True] * len(texts)
    assert kept(own, [texts[0]], ["zh"]) == [False]  # English words are not Chinese ones
    assert kept(own, [texts[0], texts[0]], ["xx", None]) == [True, True]  # no list to ask for


@pytest.mark.parametrize("language", PAGES)
def test_stop_words_of_one_language(language: str) -> None:
    step = StopWords(stop_words=language, words="folded", min_count=3, unique=True)
    assert {code for code, page in PAGES.items() if kept(step, [page]) == [True]} == {language}


def test_stop_words_that_a_recipe_lists() -> None:
    assert kept(StopWords(stop_words=("foo", "Bär"), words="folded"), ["FOO, «bär»!", "foo", "foobar bärs"]) == [
        True, False, False,
    ]  # fmt: skip
    assert kept(StopWords(stop_words=("foo",), min_count=1), ["FOO x", "foo, x"]) == [True, False]
    assert kept(StopWords(stop_words=("foo",), min_count=1, words="unicode"), ["(foo)", "foo_"]) == [True, False]
    own = StopWords(stop_words="by_language", by_language={"de": {"min_count": 1}})
    assert kept(own, ["und", "the"], ["de", "en"]) == [True, False]


TYPOGRAPHIC = [
    "“The” and “of,” he said — “to be”—“that”…",
    "‘the’ … and, of; to: (be) [that] «with» „have“",
    "t\u200bhe an\u00add o\u2060f \ufeffto b\u200de that",
    "ＴＨＥ ａｎｄ of to be that",
]


@pytest.mark.parametrize("text", TYPOGRAPHIC)
def test_folded_stop_words_are_found_however_a_page_sets_them(text: str) -> None:
    assert kept(StopWords(words="folded", min_count=6, unique=True), [text]) == [True]
    ellipses = {"max_symbols_per_word": 1.0, "max_ellipsis_lines": 1.0}
    step = GopherQuality(words="folded", min_words=0, min_word_length=0, min_stop_words=6, **ellipses)  # type: ignore[arg-type]
    assert kept(step, [text]) == [True]
    assert kept(StopWords(min_count=6, unique=True), [text]) == [False]  # as in DCLM


@pytest.mark.parametrize(
    ("plain", "typographic"),
    [
        ('He said "well, I don\'t know" - and left.', "He said “well, I don’t know” — and left."),
        ("one -- two three", "one—two\u00a0three"),
        ("office final", "o\ufb03ce \ufb01nal"),
        ("word wording", "wo\u00adrd wor\u200bding"),
        ("Is it (really) so?", "Is it （really） so？"),
    ],
)
def test_folded_words_count_alike_however_they_are_set(plain: str, typographic: str) -> None:
    text = pa.array([plain, typographic])
    one, other = FEATURES["folded_words"](text).to_pylist()
    assert one == other
    number = one["words"]
    step = PageLength(words="folded", min=number, max=number)
    assert kept(step, [plain, typographic]) == [True, True]


@settings(deadline=None)
@given(st.text("aÉ ﬁ½’“—\u200b\u0301सि한中ß𝒳İﷺ\n", max_size=20) | st.text(max_size=20))
def test_folding_is_stable_and_leaves_no_punctuation(text: str) -> None:
    once = fold(pa.array([text, None, text]))
    assert once[0] == once[2]
    assert once[1].as_py() == ""
    assert not any(unicodedata.category(c)[0] in "PS" or c == "\u200b" for c in once[0].as_py())
    assert fold(once) == once


def test_lists_are_whole_and_found_under_the_names_of_identifiers() -> None:
    assert set(stop_lists()["en"].words) == set(STOP_WORDS)
    assert len(shipped_languages()) >= 70
    for code, one in stop_lists().items():
        assert len(set(one.words)) == len(one.words) >= 8, code
        assert all(word == word.lower().strip() for word in one.words), code
    for names in (("zh", "cmn", "zh-cn", "cmn_Hani"), ("de", "deu", "deu_Latn"), ("no", "nob", "nno")):
        assert len({find_stop_list(name) for name in names}) == 1
    assert find_stop_list("xx") is None


def test_limits_differ_per_language() -> None:
    short, long = "a b c d e f g h", "abcdefghijkl mnopqrstuvwxyz"
    step = WordLength(words="unicode", by_language={"zh": {"min": 1}, "fi": {"max": 14}})
    assert kept(step, [short, short, long, long], ["zh", "en", "fi", None]) == [True, False, True, False]
    words = AlphabeticWords(words="unicode", max_other_fraction=0.1, by_language={"ja": {"max_other_fraction": 0.9}})
    assert kept(words, ["a . . .", "a . . ."], ["ja", "en"]) == [True, False]
    lines = FinewebQuality(by_language={"th": {"min_punctuated_lines": 0, "max_short_lines": 1}})
    assert kept(lines, ["no stop", "no stop"], ["th", "en"]) == [True, False]
    copies = GopherRepetition(by_language={"en": {"top_2_grams": 1, "top_3_grams": 1, "top_4_grams": 1}})
    text = "one two three four five six seven eight"
    assert kept(copies, [f"{text} one two"] * 2, ["en", "de"]) == [True, False]
    assert kept(SymbolRatio(words="unicode", max=0.3), ["中文字# 一", "a #"]) == [True, False]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (GopherQuality, "{by_language: {zh: {min_word: 1}}}", "has `min_word` for zh"),
        (GopherRepetition, "{by_language: {zh: {top_5_grams: 1}}}", "has `top_5_grams` for zh"),
        (FinewebQuality, "{by_language: {zh: {min_punctuated_lines: -1}}}", "0 and above"),
        (StopWords, "{stop_words: klingon}", "`stop_words` is klingon"),
        (StopWords, "{stop_words: []}", "is empty"),
    ],
)
def test_a_wrong_limit_or_language_is_named(kind: type, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(kind, parse_yaml(text))


def test_limits_per_language_need_the_languages() -> None:
    step = WordLength(by_language={"zh": {"min": 1}})
    with pytest.raises(ConfigError, match="no column `language`"):
        kept(step, ["a"])


INVISIBLE = ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200c", "\u200d", "\u200e", "\ufe0f"]


@pytest.mark.shared
@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"{ord(character):04x}")
def test_invisible_characters_do_not_change_the_language(character: str, lid: Path) -> None:
    context = Context(files={"lid.176.ftz": str(lid)})
    page = PAGES["en"]
    texts = [page, character.join(page), page.replace(" ", character + " "), page.replace("e", "e" + character)]
    found = Language().open(context)(pa.record_batch({"text": pa.array(texts)}))
    assert found["language"].to_pylist() == ["en"] * 4
    assert len(set(found["language_score"].to_pylist())) == 1


def test_joiners_stay_where_a_script_needs_them() -> None:
    persian, hindi = "می\u200cخواهم", "क्\u200dष"
    assert without_invisible(pa.array([persian, hindi, "a\u200cb"])).to_pylist() == [persian, hindi, "ab"]


@pytest.mark.shared
def test_the_reference_shows_the_model_what_nobody_sees(lid: Path) -> None:
    page = pa.record_batch({"text": pa.array(["\u200b".join(PAGES["en"])])})
    context = Context(files={"lid.176.ftz": str(lid)})
    steps = (Language(invisible="keep"), Language(invisible="ignore"))
    assert [step.open(context)(page)["language"].to_pylist() == ["en"] for step in steps] == [False, True]


def test_heliport_identifies_many_languages_and_drops_the_others() -> None:
    codes = {"en": "eng", "de": "deu", "ru": "rus", "zh": "cmn", "ja": "jpn", "th": "tha", "ar": "ara", "hi": "hin"}
    texts = [*PAGES.values(), "\u200b".join(PAGES["en"]), "...!", "", "a\x00b\r\n" + PAGES["de"]]
    batch = pa.record_batch({"text": pa.array(texts)})
    found = Heliport().open(Context())(batch)
    assert found["language"].to_pylist() == [*(codes[code] for code in PAGES), "eng", None, None, "deu"]
    assert found["language_score"].to_pylist()[9:11] == [0.0, 0.0]
    assert "_drop" not in found.schema.names
    kept = Heliport(keep=("eng", "deu"), min_score=0.5).open(Context())(batch)
    assert [text[:9] for text, drop in zip(texts, kept["_drop"].to_pylist(), strict=True) if not drop] == [
        texts[0][:9], texts[1][:9], texts[8][:9], texts[11][:9],
    ]  # fmt: skip
    assert Heliport().open(Context())(batch.slice(0, 0)).num_rows == 0


def test_heliport_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "heliport", None)
    with pytest.raises(ConfigError, match=r"dclm\[languages\]"):
        Heliport().open(Context())


THAI = (
    "เมื่อเช้าวันจันทร์ที่ผ่านมา "
    "ชาวบ้านในหมู่บ้านริมแม่น้ำได้รวมตัวกันเพื่อพูดคุยเรื่องการสร้างสะพานใหม่ "
    "หลายคนเห็นว่าสะพานไม้เก่าชำรุดมากแล้ว และไม่ปลอดภัยสำหรับเด็กที่ต้องเดินข้ามไปโรงเรียนทุกวัน\n"
    "ผู้ใหญ่บ้านเล่าว่า สะพานนี้สร้างขึ้นเมื่อเกือบหกสิบปีก่อน โดยใช้ไม้จากป่าใกล้เคียง "
    "ตอนนั้นยังไม่มีถนนลาดยาง การเดินทางไปตลาดต้องใช้เรือเป็นหลัก "
    "ปัจจุบันรถจักรยานยนต์วิ่งผ่านวันละหลายร้อยคัน โครงสร้างจึงรับน้ำหนักไม่ไหว\n"
    "วิศวกรจากจังหวัดเสนอแบบสองแบบ แบบแรกเป็นสะพานคอนกรีตกว้างสี่เมตร ใช้งบประมาณสูงแต่คงทน "
    "ส่วนแบบที่สองเป็นสะพานเหล็กซึ่งติดตั้งได้รวดเร็วกว่า อย่างไรก็ตาม "
    "ต้องดูแลรักษาไม่ให้เกิดสนิมเพราะอากาศชื้นตลอดปี\n"
    "นักเรียนคนหนึ่งถามว่าระหว่างก่อสร้างจะข้ามฝั่งอย่างไร "
    "คำตอบคือทางอำเภอจะจัดเรือรับส่งฟรีช่วงเช้าและเย็น พร้อมเสื้อชูชีพสำหรับทุกคน "
    "แม่ค้าขายผลไม้ขอให้เพิ่มเที่ยวเรือตอนเที่ยงด้วย เพราะต้องขนมะม่วงกับทุเรียนไปส่งลูกค้าในเมือง\n"
    "หลังการประชุมสองชั่วโมง เสียงส่วนใหญ่เลือกสะพานคอนกรีต "
    "งานจะเริ่มหลังฤดูฝนและคาดว่าแล้วเสร็จภายในสิบเดือน ระหว่างนั้นครูศิลปะจะชวนเด็ก ๆ "
    "วาดภาพสะพานเก่าเก็บไว้เป็นความทรงจำ ก่อนที่ไม้แผ่นสุดท้ายจะถูกรื้อออกไป"
)
"""Five paragraphs of prose: words are not divided by spaces, and nothing ends in a period."""


def kept_by_rules(pipeline: Path, batch: pa.RecordBatch) -> Counter[str]:
    """Documents in each language that Gopher's and FineWeb's rules of a pipeline keep."""
    rules = ("gopher_repetition", "gopher_quality", "fineweb_quality")
    for step in load_pipeline(pipeline).steps:
        if isinstance(step, Filter) and step.name in rules:
            text = batch["text"]
            features = {f"_{name}": FEATURES[name](text) for name in step.features}
            whole = pa.record_batch({"text": text, "language": batch["language"], **features})
            batch = batch.filter(step.open(Context())(whole))
    return Counter(batch["language"].to_pylist())


@pytest.mark.shared
def test_the_multilingual_example_keeps_pages_that_english_rules_drop(shared: Path, lid: Path) -> None:
    with gzip.open(shared / "conformance" / "refinedweb_input.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    texts = [text for text in texts if re.search("[\u3040-\u30ff\u4e00-\u9fff]{20}", text)]
    batch = pa.record_batch({"text": pa.array(texts)})
    batch = Language(join_lines_with=" ").open(Context(files={"lid.176.ftz": str(lid)}))(batch)
    batch = batch.filter(pc.is_in(batch["language"], value_set=pa.array(["zh", "ja"])))
    there = Counter(batch["language"].to_pylist())
    pipelines = Path(__file__).resolve().parents[2] / "pipelines"
    kept = kept_by_rules(pipelines / "examples" / "multilingual.yaml", batch)
    assert kept["zh"] > 0.4 * there["zh"] > 50
    assert kept["ja"] > 0.3 * there["ja"] > 5
    english = kept_by_rules(pipelines / "fineweb.yaml", batch)
    assert sum(english.values()) < 0.02 * sum(there.values())


def test_the_multilingual_example_keeps_thai_prose_and_drops_what_repeats_itself() -> None:
    pipelines = Path(__file__).resolve().parents[2] / "pipelines"
    batch = pa.record_batch({"text": [THAI, "\n".join([THAI[:200]] * 8)], "language": ["th", "th"]})
    assert kept_by_rules(pipelines / "examples" / "multilingual.yaml", batch) == {"th": 1}
    assert kept_by_rules(pipelines / "fineweb.yaml", batch) == {}
