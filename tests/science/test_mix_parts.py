"""Sources that are mixed label by label, and proxies that are evaluated on tasks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.stages.engine import SerialEngine
from dclm.science.mix.proxies import train_swarm, write_mixtures
from dclm.science.mix.swarm import load_swarm
from dclm.science.mix.table import read_mixtures, read_table

ROOT = Path(__file__).resolve().parent.parent.parent
SWARM = """
name: small
recipe: recipe.yaml
scale: bytes-74k
tokens: 20480
seed: 3
held_out: {a: {path: held-a.jsonl, documents: 3}}
"""
BY = "by: {web: [topic, format]}\nmin_label_share: 0.1\n"


def texts(letters: str, count: int, seed: int, **labels: str | None) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [{"text": "".join(rng.choices(letters + " ", k=600)), **labels} for _ in range(count)]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = texts("abcd", 40, 1, topic="Arts & Life", format="forum")
    rows += texts("stuv", 30, 2, topic="law", format="forum")
    rows += texts("klmn", 2, 3, topic="law", format="list") + texts("wxyz", 8, 4, topic=None, format="forum")
    write(tmp_path / "web.jsonl", rows)
    write(tmp_path / "books.jsonl", texts("efgh", 60, 5))
    write(tmp_path / "held-a.jsonl", texts("abcd", 3, 6))
    (tmp_path / "steps.yaml").write_text("name: s\nsteps:\n  - page_length: {of: word, min: 1}\n", encoding="utf-8")
    tokenizer = ROOT / "recipes" / "experiments" / "bytes.json"
    (tmp_path / "recipe.yaml").write_text(
        "name: r\ndata:\n"
        "  - {name: web, pool: {jsonl: [web.jsonl], keep: {topic: text, format: text}}, pipeline: steps.yaml}\n"
        "  - {name: books, pool: {jsonl: [books.jsonl]}, pipeline: steps.yaml}\n"
        f"tokenizer: {tokenizer}\nscale: tiny\nepochs: 99\ntasks: [copa]\n",
        encoding="utf-8",
    )
    return tmp_path


def swarm(folder: Path, more: str) -> Path:
    path = folder / "swarm.yaml"
    path.write_text(SWARM + more, encoding="utf-8")
    return path


def test_a_source_is_mixed_by_its_labels_and_earlier_proxies_are_used_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    train_swarm(load_swarm(swarm(folder, "proxies: 2\n")), out, SerialEngine())
    before = (out / "losses.csv").read_text().splitlines()
    trained = {p: p.stat().st_mtime_ns for p in out.glob("proxies/*/train/record.json")}

    path = swarm(folder, f"proxies: 5\n{BY}")
    with pytest.raises(ConfigError, match="only known once the documents are curated"):
        write_mixtures(load_swarm(path), out)
    main(["mix", "swarm", str(path), "--out", str(out), "--workers", "1"])
    said = capsys.readouterr().err
    parts = ["web.Arts_Life_forum", "web.law_forum", "web.other"]
    documents = {part: json.loads((out / "documents" / part / "record.json").read_text())["counts"] for part in parts}
    assert [documents[part]["kept"] for part in parts] == [40, 30, 10]
    assert {counts["read"] for counts in documents.values()} == {80}
    assert "split web by topic and format: web.Arts_Life_forum 50." in said
    (option,) = [word for word in said.split() if word.startswith("web=")]

    mixtures = read_table(out / "mixtures.csv")
    assert mixtures.columns == ("web", *parts, "books")
    assert mixtures.column("web")[:2].all()
    assert not mixtures.column("web")[2:].any()
    assert all(mixtures.column(part)[2:].any() for part in parts)
    assert (out / "losses.csv").read_text().splitlines()[:3] == before
    again = {p: p.stat().st_mtime_ns for p in out.glob("proxies/*/train/record.json")}
    assert len(again) == 5
    assert again.items() >= trained.items()

    source, _, shares = option.partition("=")
    split = {source: {name: float(share) for name, share in (part.split(":") for part in shares.split(","))}}
    assert sum(split["web"].values()) == pytest.approx(1, abs=1e-3)
    joined = read_mixtures([out / "mixtures.csv"], split)
    assert set(joined.columns) == {*parts, "books"}
    assert joined.column(parts[0])[0] == pytest.approx(mixtures.column("web")[0] * split["web"][parts[0]], abs=1e-3)
    a = read_table(out / "losses.csv").column("a")
    assert a[2:].argmin() == joined.column(parts[0])[2:].argmax()  # the held-out text is of that label


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("by: {wep: topic}", "by.wep.*no source of recipe.yaml"),
        ("averages: {all: {b: 1}}", "`averages.all` names b, allowed: a"),
        ("averages: {all: {a: 0}}", "`averages.all` has no weight above 0"),
        ("averages: {a: {a: 1}}", "need different names"),
        ("tasks: [copaa]", "did you mean `copa`"),
    ],
)
def test_a_wrong_swarm_is_refused_before_anything_starts(folder: Path, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_swarm(swarm(folder, f"proxies: 2\n{more}\n"))


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("by: {web: [subject]}", "no column subject, found: .*topic"),
        ("by: {web: [topic]}\nmin_label_share: 0.9", "found 0 parts with at least 0.9"),
    ],
)
def test_labels_that_give_no_parts_are_an_error(folder: Path, by: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        train_swarm(load_swarm(swarm(folder, f"proxies: 2\n{by}\n")), folder / "out", SerialEngine())


@pytest.mark.shared
def test_proxies_are_evaluated_on_tasks(folder: Path, shared: Path) -> None:
    out = folder / "out"
    train_swarm(load_swarm(swarm(folder, "proxies: 2\n")), out, SerialEngine())
    text = "tasks: [copa]\nlimit: 3\naverages: {mean: {a: 1, copa: 3}}\n"
    train_swarm(load_swarm(swarm(folder, f"proxies: 2\n{text}")), out, SerialEngine())
    losses = read_table(out / "losses.csv")
    assert losses.columns == ("a", "copa", "mean")
    assert (losses.column("copa") > 0).all()
    assert losses.column("mean") == pytest.approx((losses.column("a") + 3 * losses.column("copa")) / 4)
    assert len(list(out.glob("proxies/*/train/record.json"))) == 2  # the trained models were used again
