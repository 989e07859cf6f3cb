"""The board's page: sorted and filtered in a real browser, and harmless whatever strangers call their results."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.board.entry import own
from dclm.board.page import POLICY, export_site, render_page
from dclm.board.plot import render_plot
from dclm.board.result import Result

MakeResult = Callable[..., Result]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '<img src=x onerror="document.title=1"></script><script>document.title="owned"</script>"\'&'


class Browser:
    """Chromium without a window, driven over its DevTools pipe (messages end with a NUL byte)."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        script = f'exec {CHROMIUM} "$@" 3<&{to_browser} 4>&{from_browser}'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--remote-debugging-pipe", "--window-size=1280,900",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *options], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """The result of one DevTools command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, page: Path) -> None:
        """Load a file and wait until it is there."""
        self.call("Page.navigate", url=page.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            continue

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """A real click in the middle of the element."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        place = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({box})"
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView()")
        x, y = self.evaluate(place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self) -> None:
        self._session = ""
        self.call("Browser.close")
        os.close(self._out)
        os.close(self._in)
        self._process.wait(30)

    def _receive(self) -> Any:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 1 << 16)
            assert data, "the browser went away"
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(line)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(make: MakeResult, tmp_path: Path) -> Path:
    results = [
        make(name="middle", accuracy=0.5, scale="tiny"),
        make(name="Best", accuracy=0.7, scale="5m"),
        make(name="worst", accuracy=0.4, scale="tiny"),
        make(name="unknown", tasks=5, scale="5m"),
        make(name=HOSTILE, accuracy=0.6, scale='"><script>alert(1)</script>'),
    ]
    return export_site(own(results), tmp_path / "site")


def names(browser: Browser) -> list[str]:
    shown: list[str] = browser.evaluate(
        "[...document.querySelectorAll('tbody tr:not([hidden]) a')].map(a => a.textContent)"
    )
    return shown


def head(label: str) -> str:
    labels = ["Name", "Scale", "CORE", "±", "EXTENDED", "Tasks", "Val. loss"]
    return f"thead th:nth-child({labels.index(label) + 1}) button"


def test_clicks_on_heads_sort_the_table(browser: Browser, page: Path) -> None:
    browser.open(page)
    best_first = ["Best", HOSTILE, "middle", "worst", "unknown"]
    assert names(browser) == best_first
    browser.click(head("CORE"))
    assert names(browser) == ["worst", "middle", HOSTILE, "Best", "unknown"]
    assert browser.evaluate("document.querySelector('thead th:nth-child(3)').ariaSort") == "ascending"
    browser.click(head("CORE"))
    assert names(browser) == best_first
    browser.click(head("Name"))
    assert [n for n in names(browser) if n != HOSTILE] == ["Best", "middle", "unknown", "worst"]
    assert browser.evaluate("document.querySelector('thead th:nth-child(3)').ariaSort") is None
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


def test_the_filter_shows_one_scale_in_table_and_plot(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.getElementById('scale').value = 'tiny'")
    browser.evaluate("document.getElementById('scale').dispatchEvent(new Event('change'))")
    assert names(browser) == ["middle", "worst"]
    assert browser.evaluate("document.querySelectorAll('svg g:not([hidden]) circle').length") == 2
    assert browser.evaluate("document.getElementById('shown').textContent") == "2 of 5"


def test_hostile_names_are_text_in_the_browser(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.title") == "DCLM leaderboard"
    assert browser.evaluate("document.querySelectorAll('img, iframe, object, tbody script').length") == 0
    assert HOSTILE in names(browser)


def test_the_policy_stops_scripts_that_are_not_the_boards(browser: Browser, page: Path, tmp_path: Path) -> None:
    injected = page.read_text().replace("</tbody>", "</tbody><script>document.title = 'owned'</script>")
    (tmp_path / "injected.html").write_text(injected)
    browser.open(tmp_path / "injected.html")
    assert browser.evaluate("document.title") == "DCLM leaderboard"
    browser.click(head("CORE"))
    assert names(browser)[0] == "worst"


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


@settings(max_examples=50, deadline=None)
@given(name=NAMES, scale=NAMES, pipeline=NAMES)
def test_no_name_adds_a_tag_to_the_page(make: MakeResult, name: str, scale: str, pipeline: str) -> None:
    plain = make()
    strange = make(name=name, scale=scale)
    strange = dataclasses.replace(strange, data=dataclasses.replace(strange.data, pipeline=pipeline))
    expected, found = parse(render_page([plain])), parse(render_page([strange]))
    assert found.tags == expected.tags
    assert found.attributes == expected.attributes


def test_the_page_names_no_outside_resource(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "url(" not in text
    assert "'unsafe" not in POLICY
    links = re.findall(r'href="(results/[0-9a-f]{20}\.json)"', text)
    assert len(links) == 5
    assert all((page.parent / link).is_file() for link in links)


def test_an_empty_board_has_a_page() -> None:
    assert "0 of 0" in render_page([])


@pytest.mark.parametrize("stderr", [0.026, 1e-9, None])
@pytest.mark.parametrize("accuracies", [(0.5,), (0.5, 0.5), (0.0, 1.0)])
def test_points_and_error_bars_lie_inside_the_plot(
    make: MakeResult, accuracies: tuple[float, ...], stderr: float | None
) -> None:
    results = [make(f"r{i}", accuracy=a, core_v2_stderr=stderr) for i, a in enumerate(accuracies)]
    plot = render_plot(results, {"tiny": 0})
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', plot)[0])
    circles = re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)"', plot)
    bars = re.findall(r'<line class="error" x1="([\d.-]+)" x2="[\d.-]+" y1="([\d.-]+)" y2="([\d.-]+)"', plot)
    assert len(circles) == len(results)
    assert len(bars) == (len(results) if stderr else 0)
    assert all(60 < float(x) < width - 20 and 10 < float(y) < height - 40 for x, y in circles)
    assert all(10 < float(y) < height - 40 for _, *ends in bars for y in ends)
    labels = re.findall(r'text-anchor="end">(-?[\d.]+)<', plot)
    assert all(len(label) <= 6 for label in labels), labels
