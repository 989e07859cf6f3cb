"""Each shipped asset is named once, pinned, and matches its name."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from dclm.assets import CATALOG, LocalFile, Url, WheelMember, check, fetch, fetch_asset, get_asset
from dclm.assets.transforms import neox_without_pii, unicode_domains
from dclm.cli.main import main

UNPINNED = {"fasttext-oh-eli5", "refinedweb-domains-curated"}
"""Assets published under an address that can change, without a hash."""


def test_every_asset_is_pinned_and_named_once() -> None:
    assert len({asset.name for asset in CATALOG}) == len(CATALOG)
    for asset in CATALOG:
        assert asset.name in UNPINNED or re.fullmatch("[0-9a-f]{64}", asset.sha256 or "")
        assert asset.licence
        assert asset.sources
        for source in asset.sources:
            if isinstance(source, WheelMember):
                assert re.fullmatch("[0-9a-f]{64}", source.archive_sha256)
                assert "==" in source.requirement
            if isinstance(source, Url):
                assert source.url.startswith("https://")


def test_what_the_demo_needs_can_be_had_from_packages_alone() -> None:
    for name in ("lid.176.ftz", "gpt-neox-20b", "datatrove-words-strict", "iana-tlds-2026", "smollm2-135m"):
        assert any(isinstance(source, WheelMember) for source in get_asset(name).sources)


@pytest.mark.shared
@pytest.mark.parametrize("asset", [a for a in CATALOG if any(isinstance(s, LocalFile) for s in a.sources)],
                         ids=lambda a: a.name)  # fmt: skip
def test_the_local_files_have_the_pinned_content(
    asset: object, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path))
    monkeypatch.setenv("DCLM_SHARED", str(shared))
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    assert fetch_asset(asset).is_file()  # type: ignore[arg-type]


@pytest.mark.network
@pytest.mark.parametrize(
    "name", ["lid.176.ftz", "datatrove-words-soft", "iana-tlds-2026", "fineweb-urls", "gpt-neox-20b"]
)
def test_packages_have_the_pinned_content(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path))
    monkeypatch.setenv("DCLM_SHARED", str(tmp_path / "none"))
    assert fetch(name).is_file()


@pytest.mark.shared
def test_the_tokenizer_is_gpt_neoxs_without_the_three_tokens_added_to_it(shared: Path) -> None:
    original = json.loads(gzip.decompress((shared / "tokenizers/gpt-neox-20b-pii.json.gz").read_bytes()))
    ours = json.loads(fetch("gpt-neox-20b").read_text(encoding="utf-8"))
    assert ours["model"] == original["model"]
    assert [t["id"] for t in original["added_tokens"] if t not in ours["added_tokens"]] == [50277, 50278, 50279]
    tokenizer = Tokenizer.from_file(str(fetch("gpt-neox-20b")))
    assert (tokenizer.get_vocab_size(), tokenizer.token_to_id("<|endoftext|>")) == (50277, 0)


def test_the_transform_gives_the_same_bytes_again() -> None:
    data = json.dumps({"added_tokens": [{"content": "|||A|||"}, {"content": "é"}], "model": {"b": 1, "a": 2}}).encode()
    once = neox_without_pii(data)
    assert json.loads(once) == {"added_tokens": [{"content": "é"}], "model": {"b": 1, "a": 2}}
    assert neox_without_pii(once) == once


def test_domains_are_written_in_unicode() -> None:
    assert unicode_domains(b"# Version 1\nCOM\nXN--P1AI\nAE\n").decode() == "ae\ncom\nрф\n"


def test_the_command_lists_everything(capsys: pytest.CaptureFixture[str]) -> None:
    main(["assets", "list"])
    printed = capsys.readouterr().out
    assert all(asset.name in printed and (asset.sha256 or "not pinned")[:12] in printed for asset in CATALOG)


def test_the_command_says_what_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path))
    monkeypatch.setenv("DCLM_SHARED", str(tmp_path))
    assert check("lid.176.ftz") is None
    main(["assets", "check"])  # no asset was requested by name: a table, and no failure
    assert "dclm assets fetch lid.176.ftz" in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        main(["assets", "check", "lid.176.ftz"])
    assert error.value.code == 3


def test_a_wrong_name_is_a_configuration_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["assets", "fetch", "gpt-neox"])
    assert error.value.code == 2
    assert "did you mean `gpt-neox-20b`?" in capsys.readouterr().err
