"""Earlier versions of Resiliparse: texts equal to theirs, run without being installed, refused if no wheel fits."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import zipfile
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest

from dclm.assets import resolve
from dclm.assets.catalog import RESILIPARSE, resiliparse_asset
from dclm.core.config import build, parse_yaml
from dclm.core.errors import AssetError, ConfigError
from dclm.core.record import fingerprint
from dclm.curate.step import Context
from dclm.documents.schema import PAGE
from dclm.extract import wheels
from dclm.extract.step import Extract
from dclm.extract.wheels import EarlierVersion, unpack
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file

VERSIONS: tuple[EarlierVersion, ...] = get_args(EarlierVersion)
fits = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="no wheel of Resiliparse 0.x fits"
)


@fits
@pytest.mark.shared
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_page_of_the_crawl_has_the_text_of_that_version(shared: Path, version: EarlierVersion) -> None:
    with gzip.open(shared / "conformance/extraction_versions.jsonl.gz") as file:
        expected = {row["record_id"]: row["text_sha256_16"][version] for row in map(json.loads, file)}
    step = Extract(version_=version)
    run = step.open(Context(files={name: str(resolve(name).path) for name in step.assets}))
    found = {}
    for pages in list_files([str(shared / "web/crawl-*.warc.gz")]):
        for batch in read_file(pages, Tally()):
            done = run(batch)
            for name, text in zip(done.column("id").to_pylist(), done.column("text").to_pylist(), strict=True):
                if text is not None:
                    found[f"<urn:uuid:{name}>"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert len(expected) == 2287
    assert found == expected


def make_wheel(path: Path) -> Path:
    """A wheel whose `resiliparse` reports its origin."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("resiliparse/__init__.py", "")
        archive.writestr("resiliparse/extract/__init__.py", "")
        archive.writestr(
            "resiliparse/extract/html2text.py",
            "def extract_plain_text(html, main_content):\n    return f'unpacked {html} {main_content}'\n",
        )
    return path


@fits
def test_the_wheel_is_run_in_the_child_and_the_installed_one_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    step = Extract(version_="0.14.5", with_=("resiliparse", "trafilatura"))
    (asset,) = step.assets
    wheel = make_wheel(tmp_path / "made.whl")
    row = {"id": "i", "url": "u", "date": None, "content_type": "text/html", "source": "s", "body": b"<p>a</p>"}
    schema = pa.schema([*PAGE, pa.field("_reject", pa.string()), pa.field("_row", pa.int64())])
    batch = pa.RecordBatch.from_pylist([{**row, "_reject": None, "_row": 0}], schema=schema)
    found = step.open(Context(files={asset: str(wheel)}))(batch)
    assert found.column("text").to_pylist()[0].startswith("unpacked <p>a</p> True")
    assert Extract().open(Context())(batch).column("text").to_pylist() == ["a"]
    assert unpack(wheel) == unpack(wheel)


def test_the_fingerprint_names_the_version_and_not_the_installed_library() -> None:
    steps = [Extract(), *(Extract(version_=version) for version in VERSIONS)]
    assert len({fingerprint(step) for step in steps}) == 3
    assert [step.libraries for step in steps] == [("resiliparse",), (), ()]
    assert build(Extract, parse_yaml('with: resiliparse\nversion: "0.14.5"')) == steps[1]
    for text in ('version: "0.13.0"', 'with: justext\nversion: "0.14.5"', "version: 0.14"):
        with pytest.raises(ConfigError):
            build(Extract, parse_yaml(text))


def test_a_machine_that_no_wheel_fits_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels.platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match=r"riscv64, allowed: CPython 3\.11 and 3\.12 on Linux x86_64"):
        _ = Extract(version_="0.14.5").assets


def test_every_wheel_is_an_asset_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    for (version, python), sha256 in RESILIPARSE.items():
        assert version in VERSIONS
        assert len(sha256) == 64
        assert resiliparse_asset(version, python) == f"resiliparse-{version}-cp{python.replace('.', '')}"
    (tmp_path / "broken.whl").write_bytes(b"not a wheel")
    with pytest.raises(AssetError, match="not a wheel"):
        unpack(tmp_path / "broken.whl")
