"""Fixtures that all tests share: the real data if available, otherwise a skip with a reason."""

from __future__ import annotations

import logging
import os
import threading
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.browser import CHROMIUM, Browser

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
for _name in THREADS:  # before torch is imported, and also for the processes that tests start
    os.environ.setdefault(_name, "1")  # more processes than cores run at once: threads would only wait for each other

# Without a deadline, since the first call of a kernel compiles it; the same examples each time, since a run of all
# tests decides whether a change lands.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

MEMORY = Path("/dev/shm")
ROOM = 6 << 30
"""Bytes that the files of all tests at once fit into."""


def has_room_in_memory() -> bool:
    """Whether this machine has a file system in memory in which tests can write their files and run programs."""
    if not MEMORY.is_dir():
        return False
    found = os.statvfs(MEMORY)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC


if has_room_in_memory():  # artifacts are synced to the disk file by file, and each time the tests would wait for it
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = longest_modules_first(items)
    if (SHARED / "DATA.md").exists():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"needs the real data: no {SHARED} (set DCLM_SHARED)"))


def longest_modules_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Order for parallel test processes: modules with slow tests come before the many short ones, so that no process
    is left alone with a long one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    all_tests = Counter(item.path for item in items)
    return sorted(items, key=lambda item: (-slow[item.path], -all_tests[item.path], str(item.path)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that use it carry `@pytest.mark.shared`."""
    return SHARED


@pytest.fixture(autouse=True)
def _forget_pool_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of pools are read as if they had just been written, however long a test takes."""
    monkeypatch.setattr("dclm.pool.survey.SETTLED_NS", 1 << 62)


class Storms:
    """A WSGI application in front of another that answers some requests with 503 SlowDown."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.every = 0
        """One in this many requests fails; 0: none."""
        self._seen = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self._seen += 1
        if self.every and self._seen % self.every == 0:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"]
        return self._app(environ, start_response)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, Storms]]:
    """An S3 server on this machine: its address, and storms of failing requests."""
    pytest.importorskip("moto")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    storms = Storms(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, storms, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", storms
    server.shutdown()
    thread.join()


@pytest.fixture
def s3(s3_server: tuple[str, Storms], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """`s3://BUCKET` of a fresh bucket, with the environment variables that its clients read."""
    address, storms = s3_server
    storms.every = 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "scratch"))
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{address}/{bucket}", method="PUT")
    urllib.request.urlopen(request).close()
    return f"s3://{bucket}"


@pytest.fixture
def storm(s3_server: tuple[str, Storms]) -> Callable[[int], None]:
    """Makes one in this many requests to the S3 server fail with 503; 0: none."""

    def every(number: int) -> None:
        s3_server[1].every = number

    return every


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, with a profile of its own."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
