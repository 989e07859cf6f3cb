"""Recipes that read the environment: secrets, variables that were not allowed, values sent to a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.variables import ALLOWED, fill_variables, looks_secret
from dclm.recipe.recipe import load_recipe, resolve_path

RECIPE = "name: r\ndata: [{{pool: {pool!r}, pipeline: p.yaml}}]\nscale: tiny\ntasks: [copa]\n"
VALUE = "do-not-tell"


@pytest.mark.parametrize(
    "name",
    ["DCLM_BOARD_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PGPASSWORD", "my_api_key",
     "GOOGLE_APPLICATION_CREDENTIALS", "DB_PASS", "SSH_AUTH_SOCK", "SESSION_ID"],
)  # fmt: skip
def test_a_secret_is_never_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, VALUE)
    assert looks_secret(name)
    for text in (f"${{{name}}}", f"http://x/${{{name}}}/y", f"a/${{{name}:-b}}"):
        with pytest.raises(ConfigError, match="looks like a secret") as found:
            fill_variables(text, [name])
        assert VALUE not in str(found.value)


def test_the_variables_that_any_recipe_may_read_are_no_secrets() -> None:
    assert not [name for name in ALLOWED if looks_secret(name)]


def test_other_variables_must_be_named_by_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_CORPUS", VALUE)
    with pytest.raises(ConfigError, match="--env MY_CORPUS") as found:
        resolve_path("${MY_CORPUS}/x", tmp_path)
    assert VALUE not in str(found.value)
    assert resolve_path("${MY_CORPUS}/x", tmp_path, ["MY_CORPUS"]) == str(tmp_path / VALUE / "x")
    monkeypatch.setenv("DATA", "/data")
    assert resolve_path("${DATA}/x", tmp_path) == "/data/x"
    monkeypatch.delenv("DATA")
    assert resolve_path("${DATA:-here}/x", tmp_path) == str(tmp_path / "here" / "x")
    with pytest.raises(ConfigError, match="DATA is not set"):
        resolve_path("${DATA}/x", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["http://${USER}.example/x", "https://${USER}@example.org/", "https://example.org/x?u=${USER}", "s3://${USER}/x",
     "http:/${DATA}", "${DATA:-http://example.org}/${USER}", "https://example.org/${USER}/x", "${USER}://example.org"],
)  # fmt: skip
def test_nothing_is_sent_to_a_server_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv("DATA", raising=False)
    monkeypatch.setenv("USER", VALUE)
    if "DATA}" in text:
        monkeypatch.setenv("DATA", "/nowhere/at/all")
    with pytest.raises(ConfigError, match="to a server") as found:
        fill_variables(text)
    assert VALUE not in str(found.value)
    assert "://" in fill_variables(text, ["USER", "DATA"])


def test_a_variable_may_hold_the_address_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "s3://bucket/data")
    assert fill_variables("${DATA}/x") == "s3://bucket/data/x"


def test_the_commands_take_names_of_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_CORPUS", "c")
    (tmp_path / "p.yaml").write_text("name: p\nsteps: []\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.jsonl").write_text('{"text": "a"}\n')
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(pool="${MY_CORPUS}/x.jsonl"))
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit):
        main(["run", str(path), "--out", out, "--until", "pool"])
    assert "--env MY_CORPUS" in capsys.readouterr().err
    main(["run", str(path), "--out", out, "--until", "pool", "--env", "MY_CORPUS"])
    assert "1 file," in capsys.readouterr().err
    assert load_recipe(path, ["MY_CORPUS"]).variables == {"MY_CORPUS"}


def test_the_password_of_a_url_is_in_no_error() -> None:
    error = ConfigError(f"https://me:{VALUE}@host/x", f"cannot reach ftp://{VALUE}@host", f"https://a:{VALUE}@b")
    assert VALUE not in str(error)
    assert "https://…@host/x" in str(error)
