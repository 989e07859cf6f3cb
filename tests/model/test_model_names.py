"""Every name that people use for a model leads to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dclm.core.errors import DataError
from dclm.model.formats.names import find_model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--me--small"
    snapshot = repository / "snapshots" / ("b" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("b" * 40)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "llama"}))
    monkeypatch.chdir(tmp_path)
    return snapshot


def test_the_names_of_a_model(hub: Path, tmp_path: Path) -> None:
    assert find_model("me/small") == find_model("hf:me/small") == f"hf:{hub}"
    assert find_model(str(hub)) == f"hf:{hub}" == find_model(f"hf:{hub}")
    assert find_model("dir/m.GGUF") == "gguf:dir/m.GGUF"
    for same in ("gguf:smollm2-135m", "lm-eval:hf,pretrained=x", "weights.pt", "me/small.pt/x"):
        assert find_model(same) == same
    (tmp_path / "run" / "train").mkdir(parents=True)
    (tmp_path / "run" / "train" / "record.json").write_text("{}")
    assert find_model("run") == "run/train"
    assert find_model("run/train") == "run/train"
    (tmp_path / "run" / "record.json").write_text("{}")
    assert find_model("run") == "run"


def test_a_path_comes_before_the_hub(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "me" / "small").mkdir(parents=True)
    (tmp_path / "me" / "small" / "config.json").write_text("{}")
    assert find_model("me/small") == "me/small"
    assert find_model("hf:me/small") == "hf:me/small"


@pytest.mark.parametrize("name", ["me/other", "hf:me/other"])
def test_what_the_cache_lacks_is_not_downloaded(hub: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"(?s)no such model in the local cache.*`hf download me/other`"):
        find_model(name)
