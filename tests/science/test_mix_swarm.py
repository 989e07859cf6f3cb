"""Swarms: mixtures are drawn as requested; proxies are trained once, and reused when sources or proxies are added."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.stages.engine import SerialEngine
from dclm.science.mix.proxies import train_swarm, write_mixtures
from dclm.science.mix.swarm import load_swarm, propose, rounded
from dclm.science.mix.table import read_mixtures, read_table

ROOT = Path(__file__).resolve().parent.parent.parent
SWARM = """
name: small
recipe: recipe.yaml
scale: bytes-74k
tokens: 20480
proxies: {proxies}
seed: 3
held_out:
  a: {{path: held-a.jsonl, documents: 3}}
  b: {{path: held-b.jsonl, documents: 3}}
"""


def lines(letters: str, count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list(letters + " "), 600)) for _ in range(count)]
    return "".join(json.dumps({"text": text, "url": f"https://e.org/{i}"}) + "\n" for i, text in enumerate(texts))


def write_recipe(folder: Path, sources: str) -> None:
    data = "".join(f"  - {{name: {s}, pool: {{jsonl: [{s}.jsonl]}}, pipeline: steps.yaml}}\n" for s in sources)
    tokenizer = ROOT / "recipes" / "experiments" / "bytes.json"
    text = f"name: r\ndata:\n{data}tokenizer: {tokenizer}\nscale: tiny\nepochs: 9\ntasks: [copa]\n"
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, (source, letters) in enumerate((("a", "abcd"), ("b", "stuv"), ("c", "klmn"))):
        (tmp_path / f"{source}.jsonl").write_text(lines(letters, 60, seed), encoding="utf-8")
        (tmp_path / f"held-{source}.jsonl").write_text(lines(letters, 3, seed + 10), encoding="utf-8")
    (tmp_path / "steps.yaml").write_text("name: s\nsteps:\n  - page_length: {of: word, min: 1}\n", encoding="utf-8")
    write_recipe(tmp_path, "ab")
    (tmp_path / "swarm.yaml").write_text(SWARM.format(proxies=3), encoding="utf-8")
    return tmp_path


def test_mixtures_are_drawn_around_the_natural_one(folder: Path) -> None:
    text = SWARM.format(proxies=120) + "natural: {a: 3, b: 1}\n"
    (folder / "swarm.yaml").write_text(text, encoding="utf-8")
    mixtures = propose(load_swarm(folder / "swarm.yaml"))
    shares = np.array([list(row.values()) for row in mixtures.values()])
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert mixtures == propose(load_swarm(folder / "swarm.yaml"))
    (folder / "swarm.yaml").write_text(text + "spread: 50\n", encoding="utf-8")
    close = np.array([list(row.values()) for row in propose(load_swarm(folder / "swarm.yaml")).values()])
    assert close.mean(axis=0) == pytest.approx([0.75, 0.25], abs=0.02)
    assert close[:, 0].std() < shares[:, 0].std() / 3
    assert rounded(("a", "b", "c"), [1 / 3, 1 / 3, 1 / 3]) == {"a": 0.334, "b": 0.333, "c": 0.333}


@pytest.mark.slow
def test_proxies_are_trained_once_and_stay_when_a_source_is_added(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    main(["mix", "swarm", str(folder / "swarm.yaml"), "--out", str(out), "--workers", "2"])
    assert "next: dclm mix best" in capsys.readouterr().err
    mixtures, losses = read_mixtures([out / "mixtures.csv"]), read_table(out / "losses.csv")
    assert mixtures.names == losses.names == ("0000", "0001", "0002")
    assert losses.columns == ("a", "b")
    for text in ("a", "b"):  # the proxy that has read most of a text's kind reads it best
        assert losses.column(text).argmin() == mixtures.column(text).argmax()

    trained = {p: p.stat().st_mtime_ns for p in out.glob("proxies/*/train/record.json")}
    assert len(trained) == 3
    write_recipe(folder, "abc")
    (folder / "swarm.yaml").write_text(SWARM.format(proxies=5), encoding="utf-8")
    before = (out / "losses.csv").read_text().splitlines()
    train_swarm(load_swarm(folder / "swarm.yaml"), out, SerialEngine())
    after = read_mixtures([out / "mixtures.csv"])
    assert after.columns == ("a", "b", "c")
    assert not after.column("c")[:3].any()
    assert after.column("c")[3:].all()
    assert (out / "losses.csv").read_text().splitlines()[:4] == before
    again = {p: p.stat().st_mtime_ns for p in out.glob("proxies/*/train/record.json")}
    assert len(again) == 5
    assert again.items() >= trained.items()
    write_recipe(folder, "bc")
    with pytest.raises(ConfigError, match="found proxies that read a, which the recipe lacks"):
        write_mixtures(load_swarm(folder / "swarm.yaml"), out)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 3", "seed: 3\nspread: 0", "`spread` is 0, allowed: a positive number"),
        ("seed: 3", "seed: 3\nnatural: {a: 1}", "found no share for b"),
        ("seed: 3", "seed: 3\nnatural: {a: 1, bb: 1}", "no source of recipe.yaml"),
        ("seed: 3", "seed: 3\nnatural: {a: 1, b: -1}", "found -1, allowed: a positive number"),
        ("bytes-74k", "bytes-75k", "did you mean `bytes-74k`"),
        ("proxies: 3", "proxies: 0", "proxies"),
    ],
)
def test_a_wrong_swarm_is_told_before_anything_starts(folder: Path, old: str, new: str, message: str) -> None:
    text = SWARM.format(proxies=3).replace(old, new)
    (folder / "swarm.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_swarm(folder / "swarm.yaml")


def test_one_source_cannot_be_mixed(folder: Path) -> None:
    write_recipe(folder, "a")
    with pytest.raises(ConfigError, match="has one source"):
        load_swarm(folder / "swarm.yaml")
