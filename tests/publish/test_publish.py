"""Published artifacts open in other tools (datasets, mlcroissant, transformers), and nothing is published in part."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import dclm
from dclm.cli.main import main
from dclm.core.errors import ConfigError, DataError, IncompleteError
from dclm.core.storage import sha256_file
from dclm.publish import target
from dclm.publish.card import size_category, table
from dclm.publish.documents import publish_documents
from dclm.publish.others import publish_model, publish_result, publish_tokens

BYTES = Path(__file__).resolve().parents[2] / "recipes" / "experiments" / "bytes.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publish")


@pytest.fixture(scope="module")
def documents(folder: Path) -> str:
    """Documents of three shards, one of them empty, scored by a custom step."""
    (folder / "pool").mkdir()
    for name, texts in (("a", ["one two three", "four five|six <b>"]), ("b", ["x"]), ("c", ["seven eight nine"] * 2)):
        rows = [{"text": text, "url": f"https://{name}.example/{i}"} for i, text in enumerate(texts)]
        (folder / "pool" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rules.py").write_text("def words(text) -> float:\n    return len(text.split())\n")
    steps = "  - rules:words\n  - threshold: {column: words, min: 2}\n"
    (folder / "p.yaml").write_text(f"name: mine\nsteps:\n{steps}")
    return dclm.curate(folder / "p.yaml", folder / "pool", folder / "documents", trust=True).path


@pytest.fixture(scope="module")
def published(folder: Path, documents: str) -> Path:
    main(["publish", "documents", documents, "--to", str(folder / "set"), "--license", "cc-by-4.0"])
    return folder / "set"


def front(path: Path) -> dict[str, Any]:
    _, head, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def test_datasets_opens_it_as_it_is(published: Path, documents: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(published), split="train", cache_dir=str(tmp_path))
    kept = pq.read_table(Path(documents) / "documents").to_pydict()
    assert found["text"][:] == kept["text"]
    assert found["words"][:] == kept["words"]
    assert found.num_rows == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from rdflib, which mlcroissant uses
def test_mlcroissant_validates_it_and_reads_the_records(published: Path) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(published / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    records = [record for rs in dataset.metadata.record_sets for record in dataset.records(rs.id)]
    assert len(records) == 4


def test_hashes_and_provenance_are_those_of_the_files(published: Path, documents: str) -> None:
    croissant = json.loads((published / "croissant.json").read_text())
    record = dclm.open_artifact(documents).record  # type: ignore[union-attr]
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert croissant["identifier"] == f"sha256:{record.fingerprint}"
    assert croissant["prov:wasDerivedFrom"] == [{"@id": f"urn:sha256:{record.inputs['pool']}", "name": "pool"}]
    for file in croissant["distribution"]:
        assert sha256_file(published / file["contentUrl"]) == file["sha256"]
    assert json.loads((published / "provenance.json").read_text())["fingerprint"] == record.fingerprint


def test_the_card_says_what_the_hub_needs_and_how_it_was_made(published: Path) -> None:
    head = front(published / "README.md")
    assert (head["license"], head["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    text = (published / "README.md").read_text()
    for part in (
        "4 documents",
        "5 records read",
        "| 1 | threshold |",
        "the rights of their authors",
        "fingerprint",
    ):
        assert part in text, part


def test_the_same_artifact_gives_the_same_files(published: Path, documents: str, tmp_path: Path) -> None:
    publish_documents(documents, str(tmp_path / "again"), license_="cc-by-4.0")
    files = sorted(path.relative_to(published) for path in published.rglob("*") if path.is_file())
    assert [sha256_file(published / f) for f in files] == [sha256_file(tmp_path / "again" / f) for f in files]


def test_what_cannot_be_published_is_refused_and_leaves_nothing(folder: Path, documents: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="already exists"):
        publish_documents(documents, str(folder / "pool"))
    with pytest.raises(ConfigError, match="allowed: a folder or hf://"):
        publish_documents(documents, "s3://bucket/x")
    with pytest.raises(ConfigError, match="allowed: hf://ORG/NAME"):
        publish_documents(documents, "hf://name")
    with pytest.raises(IncompleteError):
        publish_documents(str(tmp_path), str(tmp_path / "x"))
    with pytest.raises(ConfigError, match="kind documents"):
        publish_tokens(documents, str(tmp_path / "x"))
    with pytest.raises(DataError, match=r"no result\.json"):
        publish_result(documents, str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_an_upload_has_the_same_files(documents: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []

    class Api:
        def create_repo(self, name: str, **given: object) -> None:
            calls.append((name, given))

        def upload_folder(self, **given: Any) -> None:
            names = sorted(
                p.relative_to(given["folder_path"]).as_posix() for p in Path(given["folder_path"]).rglob("*.*")
            )
            calls.append((given["repo_id"], {"kind": given["repo_type"], "names": names}))

    monkeypatch.setattr(target.importlib, "import_module", lambda name: SimpleNamespace(HfApi=Api))
    publish_documents(documents, "hf://me/set")
    assert calls[0] == ("me/set", {"repo_type": "dataset", "exist_ok": True})
    assert calls[1][1]["kind"] == "dataset"
    names = calls[1][1]["names"]
    assert isinstance(names, list)
    assert {"README.md", "croissant.json", "provenance.json"} < set(names)


def test_tokens_and_a_model_are_published(folder: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (folder / "long.jsonl").write_text("".join(json.dumps({"text": f"number {i} " * 40}) + "\n" for i in range(99)))
    tokens = dclm.tokenize(folder / "long.jsonl", folder / "tokens", tokenizer=str(BYTES), seq_len=256)
    publish_tokens(tokens.path, str(tmp_path / "tokens"))
    assert dclm.open_artifact(tmp_path / "tokens").fingerprint == tokens.fingerprint  # type: ignore[union-attr]
    assert front(tmp_path / "tokens" / "README.md")["license"] == "other"
    model = dclm.train(tokens, folder / "train", scale="bytes-74k", num_tokens=8192, epochs=9)
    publish_model(model.path, str(tmp_path / "model"), license_="apache-2.0")
    assert front(tmp_path / "model" / "README.md")["pipeline_tag"] == "text-generation"
    assert "final loss" in (tmp_path / "model" / "README.md").read_text().replace("_", " ")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.config.vocab_size > 256


def test_a_result_is_published_with_its_items(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "scores").mkdir(parents=True)
    result = {
        "name": "a|b",
        "scores": {"copa": {"accuracy": 0.51234, "stderr": None}},
        "core_v2": None,
        "missing": ["squad"],
    }
    (run / "result.json").write_text(json.dumps(result))
    (run / "scores" / "items.parquet").write_bytes(b"x")
    publish_result(str(run), str(tmp_path / "out"))
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| copa | 0.5123 | – |" in text
    assert "| core_v2 | – |" in text
    assert "squad" in text
    assert (tmp_path / "out" / "items.parquet").read_bytes() == b"x"


def test_tables_keep_strangers_in_their_cells() -> None:
    assert table(("a",), [("x|y\n<b>",)]).splitlines()[-1] == "| x\\|y &lt;b> |"
    assert [size_category(n) for n in (1, 1000, 10**9)] == ["n<1K", "1K<n<10K", "1B<n<10B"]
