"""The cost of verifying the inputs of stages: `python -m tests.bench.bench_verify [--documents 4000]`.

Runs a recipe over a generated crawl, and compares the CPU time of hashing each stage's input with that of the stage.
Then times `dclm verify` of the whole run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dclm.core.engine import SerialEngine
from dclm.core.record import Record, read_record
from dclm.core.storage import sha256_file
from dclm.recipe.recipe import load_recipe
from dclm.recipe.run import Run, RunOptions
from dclm.recipe.verify.run import verify

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
        print("| stage | input MB | CPU s to hash it | CPU s of the stage | share |\n|---|---|---|---|---|")
        for name, paths in inputs.items():
            size = sum(path.stat().st_size for path in paths)
            started = time.process_time()
            for path in paths:
                sha256_file(path)
            spent = time.process_time() - started
            whole = records[name].provenance["cpu_seconds"]
            assert isinstance(whole, int | float)
            print(f"| {name} | {size / 1e6:.1f} | {spent:.3f} | {whole:.1f} | {spent / whole:.2%} |")
        started = time.process_time()
        report = verify(str(out))
        spent = time.process_time() - started
        assert report.exit_code == 0, report.findings
        cost = f"{report.bytes / 1e6:.1f} MB, {spent:.2f} CPU s, {report.seconds:.2f} s"
        print(f"\n`dclm verify` of the whole run: {cost}")


def _files(root: Path, record: Record, prefix: str) -> list[Path]:
    return [root / entry.path for entry in record.files if entry.path.startswith(prefix)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=4000)
    main(parser.parse_args().documents)
