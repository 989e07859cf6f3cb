"""What the benchmarks report: rows, the summary of a run, and what changed between two runs beyond noise."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.compare import compare, judge, load, main, table
from tests.bench.rows import VARIABLE, Row, line, read, report
from tests.bench.rows import table as summary

FOLDER = Path(bench.__file__).parent


def test_a_row_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "rows.jsonl"))
    made = report("encode", "MB/s", [30, 40, 50], beside="plain", theirs=[10, 20, 10], limit=80, limit_name="peak")
    report("start", "CPU s", 2.0, beside="plain", theirs=3.0)
    assert read(tmp_path / "rows.jsonl")[0] == made
    first, second = capsys.readouterr().out.splitlines()
    assert first == "encode: 40 MB/s; plain: 10 (3.00×); limit (peak): 80 (50% of it)"
    assert second == "start: 2 CPU s; plain: 3 (1.50×)"
    assert read(tmp_path / "none.jsonl") == []


def test_a_ratio_is_that_of_pairs_and_of_medians_where_there_are_none() -> None:
    paired = Row(work="w", unit="MB/s", ours=(10, 40), beside="b", theirs=(5, 10))
    assert paired.ratios == [2, 4]
    alone = Row(work="w", unit="s", ours=(1, 2, 3), beside="b", theirs=(4, 8))
    assert alone.ratios == [3]
    assert Row(work="w", unit="s", ours=(4,), limit=1, limit_name="best").share == 0.25


def test_the_summary_has_every_column() -> None:
    row = Row(work="encode", unit="MB/s", ours=(40,), beside="plain", theirs=(10,), limit=80, limit_name="peak")
    text = summary([("bench_tokens", row), ("bench_x", Row(work="w", unit="s", ours=(1234.5,)))])
    assert text.splitlines()[2:] == [
        "| `bench_tokens` | encode | 40 MB/s | plain: 10 | 4.00× | peak: 80 | 50% |",
        "| `bench_x` | w | 1,234 s |  |  |  |  |",
    ]


def rated(*values: float, theirs: tuple[float, ...] = ()) -> Row:
    return Row(work="w", unit="documents/s", ours=values, beside="peer" if theirs else None, theirs=theirs)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (rated(100, 101, 99), rated(150, 151, 149), "better"),
        (rated(150, 151, 149), rated(100, 101, 99), "worse"),
        (rated(100, 140, 70), rated(110, 150, 75), "within noise"),
        (rated(100, 100.1, 99.9), rated(101, 101.1, 100.9), "within noise"),  # significant, and too little to matter
        (rated(100, 101), rated(150, 151), "undecided"),
        # half as fast beside a peer that became half as fast, too: the machine was busy
        (rated(100, 102, 98, theirs=(50, 51, 49)), rated(50, 51, 49, theirs=(25, 25.5, 24.5)), "within noise"),
        (rated(100, 102, 98, theirs=(50, 51, 49)), rated(50, 51, 48, theirs=(50, 51, 49)), "worse"),
        (Row(work="w", unit="tokens", ours=(9, 9, 9)), Row(work="w", unit="tokens", ours=(8, 8, 8)), "better"),
        (Row(work="w", unit="s", ours=(1, 1.01, 0.99)), Row(work="w", unit="s", ours=(2, 2.01, 1.99)), "worse"),
    ],
)
def test_a_change_counts_beyond_noise(before: Row, after: Row, verdict: str) -> None:
    assert judge("w", before, after).verdict == verdict


def test_two_files_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, values in (("a", (100, 101, 99)), ("b", (50, 51, 49))):
        rows = [("bench_x", rated(*values)), (f"bench_{name}", rated(1))]
        bench.write(tmp_path / f"{name}.json", rows, bench.machine())
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["command"] == "python -m tests.bench.bench_x"
    paths = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main(paths) == 1
    out = capsys.readouterr().out
    assert "| bench_x: w | 0.5× | documents/s | worse |" in out
    assert "| bench_a: w |  |  | only in A |" in out
    assert main([paths[0], paths[0]]) == 0
    assert table(compare(load(tmp_path / "a.json"), load(tmp_path / "a.json"))).count("within noise") == 1
    assert main(paths[:1]) == 2


def test_make_bench_sums_up_the_rows_of_each_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fake(command: list[str], *, check: bool, env: dict[str, str]) -> object:
        monkeypatch.setenv(VARIABLE, env[VARIABLE])
        report("work of " + command[-1], "MB/s", [1, 2, 3])
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(bench.subprocess, "run", fake)
    assert bench.main(["bench_tokens", "bench_eval", "--out", str(tmp_path / "bench.json")]) == 0
    assert "| `bench_eval` | work of tests.bench.bench_eval | 2 MB/s |" in capfd.readouterr().out
    assert len(load(tmp_path / "bench.json")) == 2
    assert bench.main(["bench_nothing"]) == 2


MEASURED = sorted(path for path in FOLDER.glob("bench_*.py") if path.stem not in bench.NOT_HERE)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_every_benchmark_of_make_bench_reports_rows(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "report" in called


def test_sentences_have_digits_that_matter() -> None:
    assert line(Row(work="w", unit="s", ours=(0.012345,))) == "w: 0.0123 s"
