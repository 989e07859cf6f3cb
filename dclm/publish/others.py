"""Tokens, models and results, each with a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import RECORD, read_record, require_complete
from dclm.core.stores.store import exists, join, local_file
from dclm.model.formats.convert import export_model
from dclm.model.formats.names import find_model
from dclm.publish.card import provenance, table, write_card
from dclm.publish.target import published


def publish_tokens(root: str, to: str, *, license_: str = "other", allow_missing: bool = False) -> None:
    """Publish a tokens artifact unchanged, with a card. Raises: see `publish_documents`."""
    record = require_complete(root, "tokens", allow_missing)
    with published(to, "dataset", root) as folder:
        for entry in record.files:
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(local_file(join(root, entry.path)), target)
        shutil.copyfile(local_file(join(root, RECORD)), folder / RECORD)
        counts = [(name, value) for name, value in record.counts.items() if isinstance(value, int)]
        sections = [
            "Token ids, packed and shuffled, as `dclm train` reads them: `dclm train DIR --scale … --out …`.",
            "## Numbers\n\n" + table(("", ""), counts),
            provenance(record.fingerprint, record.inputs, record.provenance),
        ]
        front = {"license": license_, "pretty_name": record.name, "task_categories": ["text-generation"]}
        (folder / "README.md").write_text(write_card(front, record.name, sections), encoding="utf-8")


def publish_model(root: str, to: str, *, license_: str = "other") -> None:
    """Publish a trained model in the format of `transformers`, with a model card.

    Raises: ConfigError; DataError if `root` is not a model made by dclm.
    """
    address = find_model(root)
    record = read_record(address) if exists(join(address, RECORD)) else None
    name = "model" if record is None else record.name
    with published(to, "model", root) as folder:
        export_model(root, "hf", folder / "export")
        for path in sorted((folder / "export").iterdir()):
            path.rename(folder / path.name)
        (folder / "export").rmdir()
        sections = [
            "```python\nfrom transformers import AutoModelForCausalLM\n\n"
            "AutoModelForCausalLM.from_pretrained(PATH_OR_NAME)\n```\n\nNo remote code is needed."
        ]
        if record is not None:
            rows = [(k, v) for k, v in record.counts.items() if isinstance(v, int | float) and not isinstance(v, bool)]
            sections.append("## Training\n\n" + table(("", ""), rows))
            sections.append(provenance(record.fingerprint, record.inputs, record.provenance))
        front = {"license": license_, "library_name": "transformers", "pipeline_tag": "text-generation"}
        (folder / "README.md").write_text(write_card(front, name, sections), encoding="utf-8")


def publish_result(path: str, to: str, *, license_: str = "cc0-1.0") -> None:
    """Publish a result.json with its items, if they are next to it, and a card with the scores.

    path: result.json, or the directory of a run. Raises: DataError if the result is missing.
    """
    file = Path(path) / "result.json" if Path(path).is_dir() else Path(path)
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        scores = result["scores"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(str(file), "no result.json", "pass the directory of a finished run") from None
    if not isinstance(scores, dict):
        raise ConfigError(str(file), "its scores are not a map")
    with published(to, "dataset", str(file)) as folder:
        shutil.copyfile(file, folder / "result.json")
        items = file.parent / "scores" / "items.parquet"
        if items.is_file():
            shutil.copyfile(items, folder / "items.parquet")
        rows = [(label, _number(score, "accuracy"), _number(score, "stderr")) for label, score in scores.items()]
        means = [(k, result.get(k)) for k in ("core_v2", "extended_v2", "core_v1", "extended_v1")]
        sections = [
            "Scores of a model on the tasks of DCLM, with the chain of hashes from pool to score.",
            "## Means\n\nA mean is null if one of its tasks has no score.\n\n" + table(("", ""), means),
            "## Tasks\n\n" + table(("task", "accuracy", "standard error"), rows),
        ]
        if result.get("missing"):
            sections.append("## Without a score\n\n" + ", ".join(map(str, result["missing"])))
        front: dict[str, object] = {"license": license_, "pretty_name": f"Scores of {result.get('name')}"}
        if items.is_file():
            front["configs"] = [{"config_name": "items", "data_files": "items.parquet"}]
        (folder / "README.md").write_text(write_card(front, f"Scores of {result.get('name')}", sections), "utf-8")


def _number(score: object, key: str) -> object:
    value = score.get(key) if isinstance(score, dict) else None
    return round(value, 4) if isinstance(value, float) else value
