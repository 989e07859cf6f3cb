"""The cost of verifying the inputs of stages: `python -m tests.bench.bench_verify [--documents 4000]`.

Runs a recipe over a generated crawl, and compares the CPU time of hashing each stage's input with that of the stage.
Then times `dclm verify` of the whole run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dclm.core.record import Record, read_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.recipe.recipe import load_recipe
from dclm.recipe.run import Run, RunOptions
from dclm.recipe.verify.run import verify
from tests.bench.rows import report

RECIPE = """
name: verify
data:
  - name: sample
    pool: {{sample: {{documents: {documents}, files: 4}}}}
    pipeline: p.yaml
scale: tiny
tokens: {tokens}
tasks: [copa]
allow_incomplete: true
"""
PIPELINE = """
name: p
steps:
  - extract: {with: resiliparse}
  - language: {keep: [en], min_score: 0.65}
  - page_length: {of: word, min: 50}
  - minhash: {ngram: 5, bands: 9, rows: 5, seed: 1}
"""


def main(documents: int) -> None:
    """Print one line for each stage."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "p.yaml").write_text(PIPELINE, encoding="utf-8")
        (root / "r.yaml").write_text(RECIPE.format(documents=documents, tokens=documents * 256), encoding="utf-8")
        out = root / "out"
        Run(load_recipe(root / "r.yaml"), out, SerialEngine(), RunOptions()).execute()
        pool = next((out / "pool" / "sample").iterdir())
        records = {name: read_record(out / name) for name in ("documents/sample", "tokens", "train", "scores")}
        checkpoint = max(p.parent.name for p in (out / "train" / "checkpoints").glob("*/model.safetensors"))
        inputs = {
            "documents/sample": sorted(pool.glob("warc/*")),
            "tokens": _files(out / "documents/sample", records["documents/sample"], "documents/"),
            "train": _files(out / "tokens", records["tokens"], ""),
            "scores": _files(out / "train", records["train"], f"checkpoints/{checkpoint}/"),
        }
        for name, paths in inputs.items():
            size = sum(path.stat().st_size for path in paths)
            started = time.process_time()
            for path in paths:
                sha256_file(path)
            spent = time.process_time() - started
            whole = records[name].provenance["cpu_seconds"]
            assert isinstance(whole, int | float)
            report(f"hash the input of {name}, {size / 1e6:.1f} MB", "CPU s", spent, beside="the stage", theirs=whole)
        started = time.process_time()
        found = verify(str(out))
        spent = time.process_time() - started
        assert found.exit_code == 0, found.findings
        report(f"dclm verify of the whole run, {found.bytes / 1e6:.1f} MB", "CPU s", spent)


def _files(root: Path, record: Record, prefix: str) -> list[Path]:
    return [root / entry.path for entry in record.files if entry.path.startswith(prefix)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=4000)
    main(parser.parse_args().documents)
