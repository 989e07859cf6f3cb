"""Comparing two models: pairing, signs, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import DataError, IncompleteError
from dclm.core.record import Record, write_record
from dclm.eval.perplexity import DOCUMENTS
from dclm.eval.run.unit import ITEMS
from dclm.eval.statistics.compare import compare
from dclm.eval.suite import load_suite

Rights = dict[str, list[bool]]


def artifact(folder: Path, correct: Rights, *, limited: int | None = None, data: str = "x") -> Path:
    folder.mkdir()
    rows = [
        {"task": label, "row": i, "cluster": i, "correct": right, "trimmed": False}
        for label, rights in correct.items()
        for i, right in enumerate(rights)
    ]
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), folder / "items.parquet")
    tasks = {label: {"data_sha256": data, "num_fewshot": 0} for label in correct}
    (folder / "scores.json").write_text(json.dumps({"limited": limited, "tasks": tasks}))
    write_record(folder, Record(kind="scores", name="t", fingerprint=folder.name, config={}))
    return folder


def random_core(generator: np.random.Generator, level: float) -> Rights:
    return {label: (generator.random(60) < level).tolist() for label in load_suite("core").labels}


def test_a_better_model_is_found_better_and_pairing_makes_it_sure(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weak = generator.random(400) < 0.5
    strong = weak | (generator.random(400) < 0.1)
    a = artifact(tmp_path / "a", {"piqa": weak.tolist(), "copa": [True, False]})
    b = artifact(tmp_path / "b", {"piqa": strong.tolist(), "boolq": [True]})
    found = compare([a], [b])
    d = found.tasks["piqa"].difference
    assert d.value == pytest.approx(float(strong.mean() - weak.mean()))
    assert d.low > 0.0
    assert d.probability > 0.999
    assert d.standard_error < 0.5 * (0.25 / 400 * 2) ** 0.5
    assert d.seed_error is None
    assert found.common.value == pytest.approx(d.value / 0.5)
    assert found.core is None
    assert found.not_common == ("boolq", "copa")
    back = compare([b], [a])
    assert back.common.value == pytest.approx(-found.common.value)
    assert back.common.probability == pytest.approx(1.0 - found.common.probability)


def test_a_model_is_as_good_as_itself(tmp_path: Path) -> None:
    a = artifact(tmp_path / "a", {"piqa": [True, False, True]})
    found = compare([a], [a])
    assert (found.common.value, found.common.probability) == (0.0, None)  # equal answers say nothing of other items


def test_what_the_tasks_add_is_the_difference_of_core(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    a = artifact(tmp_path / "a", random_core(generator, 0.4))
    b = artifact(tmp_path / "b", {**random_core(generator, 0.5), "siqa": [True] * 9})
    artifact(tmp_path / "c", {**random_core(generator, 0.5), "siqa": [False] * 9})
    found = compare([a], [b])
    assert found.core is not None
    assert sum(task.adds for task in found.tasks.values()) == pytest.approx(found.core.value)
    adds = [abs(task.adds) for task in found.tasks.values()]
    assert adds == sorted(adds, reverse=True)
    outside = compare([tmp_path / "c"], [b])
    assert outside.tasks["siqa"].difference.value == 1.0
    assert outside.tasks["siqa"].adds == 0.0  # it is not a task of CORE


def test_several_seeds_are_averaged_and_their_spread_counts(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    easy = generator.random(500)

    def runs(name: str, levels: tuple[float, ...]) -> list[Path]:
        return [artifact(tmp_path / f"{name}{i}", {"piqa": (easy < p).tolist()}) for i, p in enumerate(levels)]

    a, b = runs("a", (0.50, 0.53, 0.56)), runs("b", (0.60, 0.63, 0.66))
    found = compare(a, b).tasks["piqa"].difference
    single = compare(a[:1], b[:1]).tasks["piqa"].difference
    assert found.value == pytest.approx(0.1, abs=0.03)
    assert found.seed_error is not None
    assert found.seed_error > 0.01
    assert found.standard_error == pytest.approx((found.item_error**2 + found.seed_error**2) ** 0.5)
    assert found.high - found.low > single.high - single.low  # one run of each reveals nothing about seeds
    with pytest.raises(DataError, match="the same scores as"):
        compare([a[0], a[0]], b)


def test_texts_are_compared_document_by_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(4)
    hard, gain = generator.normal(1.5, 0.4, 50), generator.normal(0.02, 0.01, 50)
    paths = []
    for name, bits in (("a", hard), ("b", hard - gain)):
        path = artifact(tmp_path / name, {})
        report = {"limited": None, "tasks": {}, "perplexity": {"t": {"hash": "h"}}}
        (path / "scores.json").write_text(json.dumps(report))
        rows = [{"text": "t", "document": i, "bytes": 1000, "tokens": 9, "bits": 1000 * b} for i, b in enumerate(bits)]
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENTS), path / "texts.parquet")
        paths.append(path)
    found = compare(paths[:1], paths[1:])
    assert found.texts["t"].value == pytest.approx(-gain.mean())
    assert found.texts["t"].high < 0.0  # although documents differ by twenty times as much
    assert (found.core, found.common, found.tasks) == (None, None, {})
    main(["compare", *map(str, paths)])
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith("bits per byte, t (lower is better)")
    assert " 1.000 " in row


def test_other_rows_other_data_and_other_tasks_are_refused(tmp_path: Path) -> None:
    a = artifact(tmp_path / "a", {"piqa": [True, False, True]})
    with pytest.raises(DataError, match=r"task piqa\nscored on 3 rows in .* and 2 in"):
        compare([a], [artifact(tmp_path / "b", {"piqa": [True, False]})])
    with pytest.raises(DataError, match="no task in common"):
        compare([a], [artifact(tmp_path / "c", {"copa": [True]})])
    with pytest.raises(DataError, match=r"data_sha256 is x in .* and y in"):
        compare([a], [artifact(tmp_path / "d", {"piqa": [True, False, True]}, data="y")])
    with pytest.raises(IncompleteError):
        compare([a], [tmp_path])


def test_the_command_takes_two_or_several_of_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(3)
    paths = [str(artifact(tmp_path / f"r{i}", random_core(generator, 0.4 + 0.02 * i), limited=60)) for i in range(4)]
    picture = tmp_path / "forest.svg"
    main(["compare", paths[0], paths[3], "--plot", str(picture)])
    out = capsys.readouterr().out
    assert out.splitlines()[1].startswith("CORE v2")
    assert "limited to the first 60 rows" in out
    assert "one run of each" in out
    assert "CORE" in picture.read_text()
    main(["compare", *paths[:2], "--against", *paths[2:], "--json"])
    assert json.loads(capsys.readouterr().out)["num_runs"] == [2, 2]
    for wrong in ([paths[0]], paths[:3], [*paths[:2], "--against"], [*paths[:2], "--plot", "x.gif"]):
        with pytest.raises(SystemExit) as caught:
            main(["compare", *wrong])
        assert caught.value.code == 2
