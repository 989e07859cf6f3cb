"""Indexes made with datasketch, and by `dclm dedup index`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from datasketch import LeanMinHash, MinHashLSH
from datasketch import MinHash as Sketch
from test_engine_index import against, index, planted, run, write

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.indexes.index import index_of_keys
from dclm.dedup.minhash.exchange import keys_of_lean, keys_of_lsh, scheme_of, to_lean, to_lsh
from dclm.dedup.minhash.known import BANDS
from dclm.dedup.minhash.shingles import shingle_hash
from dclm.dedup.minhash.step import MinHash

A, B = planted(1, 24), planted(1, 16) + planted(2, 8)
STEPS = [MinHash(bands=20, rows=3), MinHash(bands=20, rows=3, bits=32, seed=9)]


def sketched(step: MinHash, text: str) -> LeanMinHash:
    """A signature made by datasketch alone."""
    made = Sketch(
        num_perm=step.bands * step.rows,
        seed=step.seed,
        scheme=scheme_of(step),
        hashfunc=lambda b: shingle_hash(b.decode()) & (2**step.bits - 1),
    )
    words = text.split()
    for at in range(len(words) - step.ngram + 1):
        made.update(" ".join(words[at : at + step.ngram]).encode())
    return LeanMinHash(made)


@pytest.mark.parametrize("step", STEPS, ids=["64", "32"])
def test_indexes_of_datasketch_do_what_our_own_do(step: MinHash, tmp_path: Path) -> None:
    leans = [sketched(step, text) for text in A]
    assert all(ours == theirs for ours, theirs in zip(to_lean(step, A), leans, strict=True))
    lsh = MinHashLSH(num_perm=60, params=(20, 3))
    for number, lean in enumerate(leans):
        lsh.insert(number, lean)
    b = write(tmp_path / "b", B)
    index(step, write(tmp_path / "a", A), tmp_path / "own")
    expected = run(against(step, tmp_path / "own"), [b], tmp_path / "expected")
    assert 0 < len(expected[0]) < len(B)
    for name, keys in (("lean", keys_of_lean(step, leans)), ("lsh", keys_of_lsh(step, lsh))):
        record = index_of_keys(step, BANDS, keys, str(tmp_path / name), SerialEngine())
        assert record.counts["runs"][0]["keys"] == read_record(tmp_path / "own").counts["runs"][0]["keys"]  # type: ignore[index]
        assert run(against(step, tmp_path / name), [b], tmp_path / f"out-{name}") == expected


def test_an_index_for_datasketch_finds_the_same_candidates() -> None:
    step = STEPS[0]
    lsh = to_lsh(step, [str(i) for i in range(len(A) + 1)], [*A, "  "])
    assert sorted(lsh.query(to_lean(step, [A[1]])[0])) == ["0", "1", "2"]
    assert str(len(A)) not in lsh.keys


def test_signatures_of_other_settings_are_refused() -> None:
    step = STEPS[0]
    with pytest.raises(ConfigError, match="found seed 2, scheme affine64, 60 permutations, allowed: seed 1"):
        keys_of_lean(step, [LeanMinHash(seed=2, hashvalues=range(60), scheme="affine64")])
    with pytest.raises(ConfigError, match=r"found 10 bands of 6 \(None\), allowed: 20 of 3"):
        keys_of_lsh(step, MinHashLSH(num_perm=60, params=(10, 6)))
    with pytest.raises(ConfigError, match="hashfunc"):
        keys_of_lsh(step, MinHashLSH(num_perm=60, params=(20, 3), hashfunc=lambda b: b[:4]))
    with pytest.raises(ConfigError, match="leave out `verify`"):
        index_of_keys(MinHash(verify=0.5), BANDS, keys_of_lean(MinHash(), []), "nowhere", SerialEngine())


def test_the_command_says_what_it_costs_and_makes_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", A, 2), write(tmp_path / "b", B, 2)
    step = MinHash(bands=20, rows=3, verify=0.7)
    plain = index(step, a, tmp_path / "own")
    command = ["dedup", "index", "--step", "minhash: {bands: 20, rows: 3, verify: 0.7}", "--workers", "1"]
    main([*command, str(a), "--out", str(tmp_path / "made")])
    told = capsys.readouterr().err
    assert re.search(r"about 2\d documents: an index of about [\d.]+ kB, 0 CPU seconds", told)
    assert "made: 24 documents" in told
    assert read_record(tmp_path / "made").files == plain.files
    main([*command, str(b), "--include", str(tmp_path / "made"), "--out", str(tmp_path / "both")])
    assert read_record(tmp_path / "both").counts["documents"] == 48
    with pytest.raises(SystemExit, match="2"):
        main(["dedup", "index", "--step", "threshold: {column: a, min: 1}", str(a), "--out", str(tmp_path / "x")])
    assert "has no index, allowed: exact, url, minhash, bloom, substring" in capsys.readouterr().err


def test_an_index_of_nothing_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.jsonl").write_text("\n")
    with pytest.raises(SystemExit, match="3"):
        main(["dedup", "index", "--step", "exact", str(empty), "--out", str(tmp_path / "out")])
