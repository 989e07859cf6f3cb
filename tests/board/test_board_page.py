"""The board's page: sorted and filtered in a real browser, and harmless whatever the names of results."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.board.entry import Entry, Rescored, own
from dclm.board.known.published import published_entries
from dclm.board.pages.detail import render_detail
from dclm.board.pages.multiplier import DEFAULT, multiplier
from dclm.board.pages.neighbors import neighbors
from dclm.board.pages.page import POLICY, export_site, render_page
from dclm.board.pages.plot import render_plot
from dclm.board.result import Result
from tests.browser import Browser, resize

MakeResult = Callable[..., Result]
HOSTILE = '<img src=x onerror="document.title=1"></script><script>document.title="owned"</script>"\'&'


@pytest.fixture
def page(make: MakeResult, tmp_path: Path) -> Path:
    results = [
        make(name="middle", accuracy=0.5, scale="tiny", track="filtering"),
        make(name="Best", accuracy=0.7, scale="5m", track="mixing"),
        make(name="worst", accuracy=0.4, scale="tiny"),
        make(name="unknown", tasks=5, scale="5m"),
        make(name=HOSTILE, accuracy=0.6, scale='"><script>alert(1)</script>'),
    ]
    return export_site(own(results), tmp_path / "site")


def names(browser: Browser) -> list[str]:
    shown: list[str] = browser.evaluate(
        "[...document.querySelectorAll('tbody:not([hidden]) tr[data-id]:not([hidden]) a')].map(a => a.textContent)"
    )
    return shown


def head(label: str) -> str:
    labels = [
        "",
        "",
        "Name",
        "Scale",
        "CORE",
        "±",
        "CORE bits",
        "EXTENDED",
        "× FLOPs",
        "Tasks",
        "Bits/byte",
        "Val. loss",
    ]
    return f"thead th:nth-child({labels.index(label) + 1}) button"


def choose(browser: Browser, control: str, value: str) -> None:
    kind = "input" if control == "search" else "change"
    browser.evaluate(
        f"(c => {{ c.value = {json.dumps(value)}; c.dispatchEvent(new Event('{kind}')); }})"
        f"(document.getElementById('{control}'))"
    )


BEST_FIRST = ["Best", HOSTILE, "middle", "worst", "unknown"]


def test_clicks_on_heads_sort_the_table(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert names(browser) == BEST_FIRST
    browser.click(head("CORE"))
    assert names(browser) == ["worst", "middle", HOSTILE, "Best", "unknown"]
    assert browser.evaluate("document.querySelector('thead th:nth-child(5)').ariaSort") == "ascending"
    browser.click(head("CORE"))
    assert names(browser) == BEST_FIRST
    browser.click(head("Name"))
    assert [n for n in names(browser) if n != HOSTILE] == ["Best", "middle", "unknown", "worst"]
    assert browser.evaluate("document.querySelector('thead th:nth-child(5)').ariaSort") is None
    browser.click(head("Tasks"))
    assert names(browser)[-1] == "unknown"


def test_heads_work_from_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate(f"document.querySelector({json.dumps(head('CORE'))}).focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    assert names(browser)[0] == "worst"


@pytest.mark.parametrize(
    ("control", "value", "expected"),
    [
        ("scale", "tiny", ["middle", "worst"]),
        ("track", "mixing", ["Best"]),
        ("source", "published", []),
        ("source", "own", BEST_FIRST),
        ("tokens", "1e10-5e10", []),
        ("search", "WOR", ["worst"]),
        ("search", "sample best", ["Best"]),
    ],
)
def test_each_filter_acts_on_table_and_plot_and_stays_in_the_address(
    browser: Browser, page: Path, control: str, value: str, expected: list[str]
) -> None:
    browser.open(page)
    choose(browser, control, value)
    assert names(browser) == expected
    with_core = [n for n in expected if n != "unknown"]
    assert browser.evaluate("document.querySelectorAll('svg g[data-id]:not([hidden])').length") == len(with_core)
    assert browser.evaluate("document.getElementById('shown').textContent") == f"{len(expected)} of 5"
    address = browser.evaluate("location.hash")
    assert address.startswith(f"#{control}=")
    browser.call("Page.navigate", url="about:blank")
    browser.open(page, address)
    assert names(browser) == expected
    browser.evaluate("document.getElementById('reset').click()")
    assert names(browser) == BEST_FIRST


def test_another_baseline_gives_other_multipliers_as_the_server_computes_them(
    browser: Browser, make: MakeResult, tmp_path: Path
) -> None:
    entries = own([make(name="mine", accuracy=0.45, scale="411m_1x"), make(name="part", scale="411m_1x", limited=9)])
    path = export_site(entries, tmp_path, published=True)
    browser.open(path)
    read = "[...document.querySelectorAll('tr[data-id]')].map(r => [r.dataset.id, r.cells[{}].textContent])"
    place = browser.evaluate("[...document.querySelectorAll('thead th')].findIndex(h => h.textContent === '× FLOPs')")
    for baseline in ("", "RedPajama"):
        choose(browser, "baseline", baseline)
        shown = dict(browser.evaluate(read.format(place)))
        for entry in [*entries, *published_entries()]:
            found = multiplier(entry.result, baseline or DEFAULT)
            assert shown[entry.id] == ("—" if found is None else f"{found.value:.2f}")
    assert browser.evaluate("location.hash") == "#baseline=RedPajama"


def test_two_rows_are_compared_task_by_task(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.getElementById('compare').hidden")
    for name in ("Best", "middle"):
        browser.evaluate(
            f"[...document.querySelectorAll('tbody a')].find(a => a.textContent === '{name}')"
            ".closest('tr').cells[0].firstChild.click()"
        )
    said = browser.evaluate("document.getElementById('compare').textContent")
    assert "Best against middle" in said
    assert "unlikely to be due to chance" in said
    cells = browser.evaluate(
        "[...document.querySelectorAll('#compare tr')].find(r => r.cells[0].textContent === 'copa').textContent"
    )
    assert cells == "copa70.050.0+20.06.8"  # errors: hypot(4.606, 5.025)
    assert browser.evaluate("document.querySelectorAll('#compare tr').length") == 54
    address = browser.evaluate("location.hash")
    browser.call("Page.navigate", url="about:blank")
    browser.open(page, address)
    assert "Best against middle" in browser.evaluate("document.getElementById('compare').textContent")


def test_a_hostile_name_is_compared_as_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate(
        "[...document.querySelectorAll('tr[data-id]')].slice(0, 2).forEach(r => r.cells[0].firstChild.click())"
    )
    assert HOSTILE in browser.evaluate("document.querySelector('#compare h2').textContent")
    assert browser.evaluate("document.title") == "DCLM leaderboard"
    assert browser.evaluate("document.querySelectorAll('#compare img, #compare script').length") == 0


def test_groups_stand_apart_until_told_otherwise(browser: Browser, make: MakeResult, tmp_path: Path) -> None:
    mark = Rescored(items=1, tasks=53, answers_checked=0, sha256="0" * 64)
    ranked = Entry(result=make(name="ranked", accuracy=0.3, scale="411m_1x"), rescored=mark)
    claimed = Entry(result=make(name="claimed", accuracy=0.9, scale="411m_1x"))
    browser.open(export_site([claimed, ranked], tmp_path, published=True))
    assert names(browser)[:2] == ["ranked", "claimed"]
    assert len(names(browser)) == 158
    assert browser.evaluate("document.querySelector('tr[data-id] .place').textContent") == "1"
    browser.evaluate("document.getElementById('together').click()")
    assert names(browser)[0] == "claimed"
    assert names(browser)[-1] == "ranked" or names(browser).index("ranked") > 100
    choose(browser, "source", "published")
    assert len(names(browser)) == 156


def test_what_is_shown_can_be_saved(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate(
        "window.saved = []; URL.createObjectURL = (blob) => { blob.text().then(t => saved.push(t)); return '#'; };"
        "HTMLAnchorElement.prototype.click = function () { saved.push(this.download); };"
    )
    choose(browser, "scale", "tiny")
    for kind in ("csv", "json"):
        browser.evaluate(f"document.getElementById('{kind}').click()")
    browser.call("Runtime.evaluate", expression="new Promise(r => setTimeout(r, 0))", awaitPromise=True)
    saved = browser.evaluate("saved")
    table = next(text for text in saved if text.startswith("id,source,Name"))
    assert table.count("\n") == 3
    values = json.loads(next(text for text in saved if text.startswith("[")))
    assert [value["Name"] for value in values] == ["middle", "worst"]
    assert values[0]["copa"] == 0.5


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, page: Path) -> None:
    details = sorted((page.parent / "results").glob("*.html"))
    try:
        resize(browser, 390, 844)
        for path in (page, details[0], details[-1]):
            browser.open(path)
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        browser.open(page)
        box = "document.querySelector('tbody td:nth-child(5)').getBoundingClientRect()"
        assert browser.evaluate(f"{box}.width > 0 && {box}.right <= 390")
        assert browser.evaluate("getComputedStyle(document.querySelector('tbody td:nth-child(7)')).display") == "none"
    finally:
        resize(browser, 1280, 900)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(browser: Browser, page: Path, scheme: str) -> None:
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for path in (page, next((page.parent / "results").glob("*.html"))):
        browser.open(path)
        ground = browser.evaluate("getComputedStyle(document.querySelector('.panel:not(.warn)')).backgroundColor")
        assert (luminance(ground) < 0.05) == (scheme == "dark")
        colors = browser.evaluate(
            "[...document.querySelectorAll('h2, td, th, a, p, dt, dd, label, .tag, .note')]"
            ".filter(e => !e.closest('.warn')).map(e => getComputedStyle(e).color)"
        )
        for color in set(colors):
            light, dark = sorted([luminance(color), luminance(ground)], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, color
    browser.call("Emulation.setEmulatedMedia", features=[])


def luminance(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)` as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_six_hundred_rows_do_not_lag(browser: Browser, make: MakeResult, tmp_path: Path) -> None:
    model = make(scale="411m_1x")
    entries = [
        Entry(result=dataclasses.replace(model, name=f"run {i}", core_v2=i / 1000), key=f"k{i}") for i in range(600)
    ]
    path = tmp_path / "index.html"
    path.write_text(render_page(entries))
    browser.open(path)
    assert len(names(browser)) == 600
    act = "document.querySelector({}).click(); document.body.offsetHeight"
    assert browser.seconds(act.format(json.dumps(head("CORE")))) < 1
    assert names(browser)[0] == "run 0"
    search = "(c => {c.value = 'run 59'; c.dispatchEvent(new Event('input'));})(document.getElementById('search'))"
    assert browser.seconds(f"{search}; document.body.offsetHeight") < 1
    assert len(names(browser)) == 16  # 59, 159, …, 559 and 590 to 599


def test_hostile_names_are_text_in_the_browser(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.title") == "DCLM leaderboard"
    assert browser.evaluate("document.querySelectorAll('img, iframe, object, tbody script').length") == 0
    assert HOSTILE in names(browser)
    browser.evaluate("document.querySelectorAll('tr[data-id] a')[1].click()")
    browser.wait()
    assert HOSTILE in browser.evaluate("document.querySelector('h1').textContent")
    assert browser.evaluate("document.querySelectorAll('img, iframe, object, script').length") == 0


def test_the_policy_stops_scripts_that_are_not_the_boards(browser: Browser, page: Path, tmp_path: Path) -> None:
    injected = page.read_text().replace("</tbody>", "</tbody><script>document.title = 'owned'</script>")
    (tmp_path / "injected.html").write_text(injected)
    browser.open(tmp_path / "injected.html")
    assert browser.evaluate("document.title") == "DCLM leaderboard"
    browser.click(head("CORE"))
    assert names(browser)[0] == "worst"


@pytest.mark.parametrize("entry", published_entries()[::31], ids=lambda e: e.id)
def test_a_published_result_has_its_page(entry: Entry) -> None:
    text = render_detail(entry)
    assert entry.result.name in text
    assert (entry.result.imported or "").rpartition("/")[2] in text
    assert "MIT" in text
    assert text.count('class="mine hollow"') == len(entry.result.scores)
    near = neighbors(entry).entries
    assert len(near) == 5
    assert entry.id not in {other.id for other in near}
    if entry.result.training.scale == "1b_1x":
        assert {other.result.training.scale for other in near} == {"1b_1x"}


def test_the_page_of_a_result_says_how_it_was_made(make: MakeResult) -> None:
    counts = {"sample": {"read": 10, "kept": 4, "dropped": 5, "rejected": 1, "decisions": {"decontaminate": {}}}}
    provenance = {"dclm": "0.1.0", "git_commit": "abc123", "recipe": {"name": "mine", "scale": "tiny"}}
    result = make(scale="411m_1x", track="filtering", provenance=provenance)
    result = dataclasses.replace(result, data=dataclasses.replace(result.data, counts=counts))
    text = render_detail(Entry(result=result, submitter="ann"), json_link="x.json")
    for part in ("kept 4 (40.0%)", "rejected 1 (10.0%)", "abc123", "dclm run recipe.json", 'href="x.json"', "ann"):
        assert part in text
    assert all(link.fingerprint[:16] in text for link in result.chain)
    assert "The scores are unverified" in text
    assert "published runs of scale 411m_1x" in text


class Tags(HTMLParser):
    """Counts of the tags and event attributes on a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def parse(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40) | st.sampled_from(
    [HOSTILE, "{id}"]
)


@settings(max_examples=25, deadline=None)
@given(name=NAMES, scale=NAMES, pipeline=NAMES)
def test_no_name_adds_a_tag_to_the_page(make: MakeResult, name: str, scale: str, pipeline: str) -> None:
    plain = make()
    strange = make(name=name, scale=scale)
    strange = dataclasses.replace(strange, data=dataclasses.replace(strange.data, pipeline=pipeline))
    expected, found = parse(render_page(own([plain]))), parse(render_page(own([strange])))
    detailed = parse(render_detail(Entry(result=strange)))
    assert detailed.tags == parse(render_detail(Entry(result=plain))).tags
    assert found.tags == expected.tags
    assert found.attributes == expected.attributes


def test_the_page_names_no_outside_resource(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "url(" not in text
    assert "'unsafe" not in POLICY
    links = re.findall(r'href="(results/[0-9a-f]{20}\.html)"', text)
    assert len(links) == 5
    assert all((page.parent / link).is_file() for link in links)
    assert all((page.parent / link).with_suffix(".json").is_file() for link in links)
    assert all(
        re.search(r"""(src|href)=["']?(https?:)?//""", (page.parent / link).read_text()) is None for link in links
    )


def test_an_empty_board_has_a_page() -> None:
    assert "0 of 0" in render_page([])


@pytest.mark.parametrize("stderr", [0.026, 1e-9, None])
@pytest.mark.parametrize("accuracies", [(0.5,), (0.5, 0.5), (0.0, 1.0)])
def test_points_and_error_bars_lie_inside_the_plot(
    make: MakeResult, accuracies: tuple[float, ...], stderr: float | None
) -> None:
    results = [make(f"r{i}", accuracy=a, core_v2_stderr=stderr) for i, a in enumerate(accuracies)]
    plot = render_plot(own(results), {"tiny": 0})
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', plot)[0])
    circles = re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)"', plot)
    bars = re.findall(r'<line class="error" x1="([\d.-]+)" x2="[\d.-]+" y1="([\d.-]+)" y2="([\d.-]+)"', plot)
    assert len(circles) == len(results)
    assert len(bars) == (len(results) if stderr or accuracies != (0.0, 1.0) else 0)  # else the binomial error
    assert all(60 < float(x) < width - 20 and 10 < float(y) < height - 40 for x, y in circles)
    assert all(10 < float(y) < height - 40 for _, *ends in bars for y in ends)
    labels = re.findall(r'text-anchor="end">(-?[\d.]+)<', plot)
    assert all(len(label) <= 6 for label in labels), labels
