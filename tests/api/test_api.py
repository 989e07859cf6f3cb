"""`import dclm`: a small chain in Python, its results in every library, and the examples of its documentation."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dclm
from dclm.api import table
from dclm.cli.main import main
from dclm.core.errors import ConfigError, IncompleteError
from dclm.steps import Exact, PageLength, by_name

ROOT = Path(__file__).resolve().parents[2]
BYTES = ROOT / "recipes" / "experiments" / "bytes.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of documents, with duplicates and short ones, and a file of filters."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "pool").mkdir()
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        rows = [
            {"id": f"{name}{i}", "url": f"https://{name}.example/{i % 20}<b>", "text": " ".join(words)}
            for i in range(40)
            if (words := [f"w{n}" for n in np.random.default_rng(i % 20).integers(0, 99, rng.integers(1, 60))])
        ]
        (folder / "pool" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rules.py").write_text("def keep(text, *, min_words: int = 5):\n    return text.count('w') >= min_words")
    return folder


@pytest.fixture(scope="module")
def documents(folder: Path) -> dclm.Documents:
    steps = (PageLength(of="word", min=3), dclm.own("rules.py:keep", directory=folder, min_words=4), Exact())
    return dclm.curate(dclm.Pipeline(name="mine", steps=steps), folder / "pool", folder / "documents")


@pytest.fixture(scope="module")
def tokens(folder: Path, documents: dclm.Documents) -> dclm.Tokens:
    return dclm.tokenize(documents, folder / "tokens", tokenizer=str(BYTES), seq_len=256)


def test_importing_it_loads_nothing_heavy_and_help_shows_everything() -> None:
    code = (
        "import sys, dclm\n"
        "print([m for m in ('numpy', 'pyarrow', 'torch', 'ray', 'click') if m in sys.modules])\n"
        "import pydoc\n"
        "text = pydoc.plain(pydoc.render_doc(dclm))\n"
        "print(len(text), [n for n in dclm.__all__ if n not in text and n[0] != '_'], 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    first, second = done.stdout.strip().splitlines()
    assert first == "[]"
    assert second.endswith("[] False"), second


def test_a_package_and_a_function_may_have_one_name() -> None:
    import inspect

    import dclm.curate.step
    import dclm.train.scale

    assert dclm.curate.step.Filter.__name__ == "Filter"
    for package, parameter in ((dclm.curate, "pipeline"), (dclm.train, "scale")):
        assert parameter in inspect.signature(package).parameters
    with pytest.raises(TypeError, match="missing"):
        dclm.train()  # type: ignore[call-arg]


def test_every_public_name_is_there_and_documented() -> None:
    assert set(dclm.__all__) <= set(dir(dclm))
    for name in dclm.__all__:
        value = getattr(dclm, name)
        assert name.startswith("__") or value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'curat'"):
        _ = dclm.curat  # type: ignore[attr-defined]
    assert dclm.steps.PageLength is by_name["page_length"]  # type: ignore[attr-defined]


def test_documents_and_their_ledger_in_every_library(documents: dclm.Documents) -> None:
    kept = documents.documents.to_arrow()
    assert 0 < kept.num_rows == len(documents) == documents.counts["kept"]
    assert len(documents.ledger) == 80
    pandas = documents.ledger.to_pandas()
    assert (pandas["step"].isna().sum(), len(pandas)) == (kept.num_rows, 80)
    assert documents.ledger.to_polars().shape == pandas.shape
    assert documents.documents.to_datasets(["id", "text"])[0] == kept.select(["id", "text"]).slice(0, 1).to_pylist()[0]
    assert sum(b.num_rows for b in documents.documents.batches(["id"], rows=7)) == kept.num_rows
    assert documents.documents.head(2) == kept.slice(0, 2).to_pylist()
    assert set(pandas["step"].dropna()) == {"page_length", "rules:keep", "exact"}


def test_the_waterfall_adds_up_and_says_why(documents: dclm.Documents) -> None:
    rows = documents.waterfall.to_arrow().to_pylist()
    assert [row["step"] for row in rows] == ["read", "page_length", "rules:keep", "exact"]
    for before, after in itertools.pairwise(rows):
        assert after["documents_in"] == before["documents_out"]
    dropped = next(r for r in documents.ledger.to_arrow().to_pylist() if r["step"] == "exact")
    (fate,) = [f for f in documents.why(dropped["id"]) if f.id == dropped["id"]]
    assert fate.outcome == "dropped by exact"


def test_everything_shows_itself_and_escapes_what_strangers_wrote(documents: dclm.Documents) -> None:
    for shown in (documents, documents.documents, documents.ledger, documents.waterfall):
        text = shown._repr_html_()
        assert text.startswith("<div>")
        assert "<b>" not in text
    assert "&lt;b&gt;" in documents.ledger._repr_html_()
    assert "page_length" in documents._repr_html_()
    assert repr(documents).startswith("Documents(")
    assert "80 rows" in repr(documents.ledger)


def test_finished_work_is_reused_and_said(folder: Path, documents: dclm.Documents) -> None:
    said: list[str] = []
    steps = (PageLength(of="word", min=3), dclm.own("rules.py:keep", directory=folder, min_words=4), Exact())
    again = dclm.curate(dclm.Pipeline(name="mine", steps=steps), folder / "pool", documents.path, say=said.append)
    assert again.fingerprint == documents.fingerprint
    assert any("reused" in line for line in said)


def test_a_pipeline_file_gives_the_same_as_steps_in_python(folder: Path, documents: dclm.Documents) -> None:
    text = "name: file\nsteps:\n  - page_length: {of: word, min: 3}\n  - rules:keep: {min_words: 4}\n  - exact\n"
    (folder / "p.yaml").write_text(text)
    other = dclm.curate(folder / "p.yaml", [folder / "pool"], folder / "other", trust=True)
    assert other.fingerprint == documents.fingerprint


def test_a_model_is_trained_and_opened(folder: Path, tokens: dclm.Tokens) -> None:
    model = dclm.train(tokens, folder / "train", scale="bytes-74k", num_tokens=20_480, epochs=99)
    assert isinstance(dclm.open_artifact(model.path), dclm.Checkpoint)
    metrics = model.metrics.to_arrow()
    assert metrics.num_rows > 0
    assert "loss" in " ".join(metrics.column_names)
    assert "checkpoint" in model._repr_html_()


def test_a_recipe_gives_a_run_directory(folder: Path) -> None:
    (folder / "p.yaml").write_text("name: p\nsteps:\n  - rules:keep\n")
    (folder / "r.yaml").write_text(
        f"name: r\ndata:\n  - {{name: web, pool: pool, pipeline: p.yaml}}\ntokenizer: {BYTES}\n"
        "scale: bytes-74k\nsuite: core\n"
    )
    run = dclm.run(folder / "r.yaml", folder / "run", until="tokenize", trust=True)
    assert list(run.artifacts) == ["documents/web", "tokens"]
    assert run.result is None
    assert len(run.documents["web"]) > 0
    assert isinstance(dclm.open_artifact(folder / "run"), dclm.RunDirectory)
    assert "documents/web" in run._repr_html_()


def test_errors_are_those_of_the_commands(folder: Path, documents: dclm.Documents) -> None:
    with pytest.raises(IncompleteError):
        dclm.open_artifact(folder / "nowhere")
    with pytest.raises(ConfigError, match="unknown field"):
        dclm.own("rules.py:keep", directory=folder, least=3)
    with pytest.raises(ConfigError, match="no such file"):
        dclm.own("rule.py:keep", directory=folder)
    with pytest.raises(ConfigError, match="allowed: checkpoint"):
        dclm.evaluate(documents, folder / "scores", suite="core")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not installed"):
        table._library("no_such_library")


def test_the_example_of_the_documentation_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lines of the module's docstring, verbatim, up to the first that needs a trained model."""
    monkeypatch.chdir(folder)
    assert dclm.__doc__ is not None
    lines = [line[4:] for line in dclm.__doc__.splitlines() if line.startswith("    ")]
    example = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("tokens ="))])
    example = example.replace("https://example.org/page", "a1")
    scope: dict[str, object] = {}
    exec(example, scope)
    assert isinstance(scope["documents"], dclm.Documents)


def test_the_rest_of_the_example_names_real_parameters() -> None:
    import ast
    import inspect

    assert dclm.__doc__ is not None
    lines = [line[4:] for line in dclm.__doc__.splitlines() if line.startswith("    ")]
    calls = [n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.Call)]
    seen = 0
    for call in calls:
        if ast.unparse(call.func).startswith("dclm.") and call.func.attr in dclm.__all__:  # type: ignore[attr-defined]
            parameters = inspect.signature(getattr(dclm, call.func.attr)).parameters  # type: ignore[attr-defined]
            inspect.signature(getattr(dclm, call.func.attr)).bind(  # type: ignore[attr-defined]
                *call.args, **{str(k.arg): k.value for k in call.keywords}
            )
            assert parameters
            seen += 1
    assert seen >= 9


def test_comparisons_show_themselves() -> None:
    from dclm.eval.statistics.compare import Comparison, TaskDifference
    from dclm.eval.statistics.difference import Difference

    fields = {"standard_error": 0.01, "detectable": 0.03, "item_error": 0.01, "seed_error": None}
    one = Difference(value=0.02, low=0.001, high=0.039, probability=0.98, **fields)
    unknown = dict.fromkeys(("low", "high", "probability", "standard_error", "detectable", "item_error", "seed_error"))
    two = Difference(value=-0.5, **unknown)
    found = Comparison(
        num_runs=(1, 1),
        core=one,
        extended=None,
        common=None,
        tasks={"copa": TaskDifference(difference=two, adds=0.1)},
        core_bpb=one,
        items={"copa": 100},
        continuous={"copa": {"brier": two}},
        texts={},
        not_common=(),
        limited=(),
    )
    compared = dclm.Compared(found)
    rows = compared.table.to_arrow().to_pylist()
    assert (rows[0]["what"], rows[0]["value"], rows[0]["low"]) == ("CORE v2", 0.02, 0.001)
    assert [row["what"] for row in rows] == ["CORE v2", "CORE, bits per byte", "copa", "copa, brier"]
    assert rows[-1]["low"] is None
    assert "+0.02" in repr(compared)
    assert "copa" in compared._repr_html_()
    assert "–" in compared._repr_html_()


@pytest.mark.shared
def test_a_prediction_is_that_of_the_command(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dclm.science.predict.records import find_published, read_table

    monkeypatch.setenv("DCLM_SHARED", str(shared))
    corpora = sorted({run.corpus for run in read_table(find_published())})[:2]
    chosen = [word for corpus in corpora for word in ("--corpus", corpus)]
    command_line = ["predict", "--from", "400m", "--to", "1b", "--json", *chosen]
    try:
        main(command_line)
    except SystemExit:
        with pytest.raises(ConfigError):
            dclm.predict(small="400m", large="1b", corpora=corpora)
        return
    found = dclm.predict(small="400m", large="1b", corpora=corpora)
    assert found.order.to_arrow().to_pylist() == json.loads(capsys.readouterr().out)["order"]
    assert corpora[0] in found._repr_html_()


def test_commands_that_look_take_the_directory_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:

    (folder / "p.yaml").write_text("name: p\nsteps:\n  - page_length: {of: word, min: 9}\n")
    source = "  - {{name: {}, pool: pool, pipeline: p.yaml}}\n"
    (folder / "two.yaml").write_text(
        f"name: r\ndata:\n{source.format('web')}{source.format('books')}tokenizer: {BYTES}\n"
        "scale: bytes-74k\nsuite: core\n"
    )
    out = folder / "two"
    dclm.run(folder / "two.yaml", out, until="tokenize")
    capsys.readouterr()
    main(["show", str(out)])
    shown = capsys.readouterr().out
    assert [word in shown for word in ("documents/web", "documents/books", "tokens", "page_length")] == [True] * 4
    main(["why", "a1", "--in", str(out)])
    assert capsys.readouterr().out.count("a1\t") == 2
    main(["report", str(out), "--tokenizer", "none"])
    assert [Path(line).is_file() for line in capsys.readouterr().out.split()] == [True, True]
    with pytest.raises(SystemExit):
        main(["report", str(out), "--tokenizer", "none", "--out", str(folder / "page.html")])
    assert "2 sources" in capsys.readouterr().err
