"""Indexes that keep signatures: other thresholds and bands without texts, and both ways to datasketch."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
from test_engine_index import against, index, planted, run, write
from test_engine_index_exchange import sketched

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import Record, read_record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.indexes.signatures import identity_of, index_of_signatures, stored_signatures
from dclm.curate.pipeline import parse_step
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.exchange import keys_of_lsh, lean_of_values, lsh_of_values, to_lean, values_of_lean
from dclm.dedup.minhash.step import MinHash

A, B = [*planted(1, 24), " "], planted(1, 16) + planted(2, 8)
STEP = MinHash(bands=20, rows=3, verify=0.7, verify_by="signatures")


def keys(record: Record) -> dict[str, str]:
    return {f.path: f.sha256 for f in record.files if f.path.startswith("keys/")}


@pytest.mark.parametrize("bits", [64, 32])
def test_there_and_back_from_datasketch(tmp_path: Path, bits: int) -> None:
    step = dataclasses.replace(STEP, bits=bits)  # type: ignore[arg-type]
    own = index(step, write(tmp_path / "a", A), tmp_path / "own")
    stored = list(stored_signatures(str(tmp_path / "own")))
    leans = [lean for values in stored for lean in lean_of_values(step, values)]
    assert leans == [sketched(step, text) for text in A[:-1]]  # made by datasketch alone
    lsh = lsh_of_values(step, stored)
    assert sorted(lsh.query(to_lean(step, [A[1]])[0])) == [0, 1, 2]
    values = values_of_lean(step, leans)
    made = index_of_signatures(step, [values], identity_of([values]), str(tmp_path / "made"), SerialEngine())
    assert keys(made) == keys(own)
    plain = dataclasses.replace(step, verify=None, verify_by="shingles")
    bare = index_of_signatures(plain, [values], "", str(tmp_path / "bare"), SerialEngine())
    assert bare.counts["runs"][0]["keys"]["bands"] == len(keys_of_lsh(step, lsh))  # type: ignore[index]
    b = write(tmp_path / "b", B)
    expected = run(against(step, tmp_path / "own"), [b], tmp_path / "expected")
    assert 0 < len(expected[0]) < len(B)
    assert run(against(step, tmp_path / "made"), [b], tmp_path / "out") == expected
    assert run(against(plain, tmp_path / "own"), [b], tmp_path / "plain") == run(
        against(plain, tmp_path / "bare"), [b], tmp_path / "plain-2"
    )


def test_other_thresholds_and_bands_need_no_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", A, 2), write(tmp_path / "b", B)
    command = ["dedup", "index", "--workers", "1", "--out"]
    main([*command, str(tmp_path / "own"), str(a), "--step", "minhash: {bands: 20, rows: 3}", "--signatures"])
    assert "an index of about" in capsys.readouterr().err
    assert read_record(tmp_path / "own").config["settings"]["verify"] == "signatures"  # type: ignore[index, call-overload]
    lengths = []
    for threshold in (0.5, 0.9, 1.0):  # the second of four texts has 5 of 56 other shingles
        step = dataclasses.replace(STEP, verify=threshold)
        found = run(against(step, tmp_path / "own"), [b], tmp_path / f"out-{threshold}")
        index(step, a, tmp_path / f"texts-{threshold}")
        assert found == run(against(step, tmp_path / f"texts-{threshold}"), [b], tmp_path / f"expected-{threshold}")
        lengths.append(len(found[0]))
    assert lengths[0] < lengths[2]
    other = dataclasses.replace(STEP, bands=10, rows=6)
    text = "minhash: {bands: 10, rows: 6, verify: 0.7, verify_by: signatures}"
    main([*command, str(tmp_path / "other"), str(tmp_path / "own"), "--step", text])
    assert "10 bands of 6 rows" in capsys.readouterr().err
    texts = index(other, a, tmp_path / "texts")
    assert read_record(tmp_path / "other").counts["runs"][0]["keys"] == texts.counts["runs"][0]["keys"]  # type: ignore[index]
    assert run(against(other, tmp_path / "other"), [b], tmp_path / "b1") == run(
        against(other, tmp_path / "texts"), [b], tmp_path / "b2"
    )
    again = [
        *command,
        str(tmp_path / "other"),
        str(tmp_path / "own"),
        "--step",
        text.replace("10, rows: 6", "12, rows: 5"),
    ]
    with pytest.raises(SystemExit, match="2"):
        main(again)
    assert "pass --force to replace it" in capsys.readouterr().err
    main([*again, "--force"])
    assert read_record(tmp_path / "other").config["settings"]["bands"] == 12  # type: ignore[index, call-overload]
    for more, said in (
        (["--include", str(tmp_path / "own")], "--include"),
        (["--room", "9"], "--room"),
        ([str(tmp_path / "own")], "one index of signatures"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*command, str(tmp_path / "no"), str(tmp_path / "own"), "--step", text, *more])
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, str(tmp_path / "no"), str(tmp_path / "own"), "--step", "minhash: {bands: 10, rows: 5}"])
    assert "found signatures of 60 permutations, allowed: 50" in capsys.readouterr().err


def test_what_keeps_no_signatures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a", A)
    shingled = MinHash(bands=20, rows=3, verify=0.7)
    index(shingled, a, tmp_path / "own")
    with pytest.raises(ConfigError, match=r"found an index with verify: True, allowed: signatures"):
        run(against(STEP, tmp_path / "own"), [a], tmp_path / "out")
    with pytest.raises(ConfigError, match="keeps no signatures"):
        list(stored_signatures(str(tmp_path / "own")))
    with pytest.raises(ConfigError, match="set `verify_by: signatures`"):
        index_of_signatures(shingled, [np.zeros((1, 60), np.uint64)], "", str(tmp_path / "x"), SerialEngine())
    for text, said in (("exact", "allowed: minhash"), ("minhash: {verify: 0.7}", "verifies by shingles")):
        with pytest.raises(SystemExit, match="2"):
            main(["dedup", "index", str(a), "--step", text, "--signatures", "--out", str(tmp_path / "x")])
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="estimates only the Jaccard index"):
        MinHash(verify=0.5, verify_by="signatures", measure="containment")


def test_an_index_with_missing_parts_has_no_other_bands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a", A)
    (a / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one two three four"}\n')[:-4])
    index(STEP, a, tmp_path / "own")
    text = "minhash: {bands: 10, rows: 6, verify: 0.7, verify_by: signatures}"
    with pytest.raises(SystemExit, match="4"):
        main(["dedup", "index", str(tmp_path / "own"), "--step", text, "--out", str(tmp_path / "x")])
    assert "truncated gzip" in capsys.readouterr().err


def test_url_is_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_step("url") == Exact(of="url")
    assert parse_step("url: {normalize: url}") == Exact(of="url", normalize="url")
    with pytest.raises(ConfigError, match=r"`url` is `exact` with of: url, and takes no other"):
        parse_step("url: {of: text}")
    with pytest.raises(ConfigError, match="normalise"):
        parse_step("url: {normalise: url}")
    a = write(tmp_path / "a", A)
    main(["dedup", "index", str(a), "--step", "url", "--workers", "1", "--out", str(tmp_path / "index")])
    (tmp_path / "p.yaml").write_text(f"steps:\n  - url: {{against: ['{tmp_path / 'index'}']}}\n")
    out = tmp_path / "out"
    main(
        [
            "curate",
            str(tmp_path / "p.yaml"),
            "--pool",
            str(write(tmp_path / "b", B)),
            "--out",
            str(out),
            "--workers",
            "1",
        ]
    )
    assert read_record(out).counts["decisions"]["0:exact"]["in_index"] > 4  # type: ignore[index, call-overload]
