"""Comparison with datatrove and dolma, each in its own virtual environment, which `make bench-peers` creates.

CPU seconds of one process on the same files, from compressed input to written output. Ours runs through the engine
with one worker after a first small run that compiles; a peer's start (imports) is not counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline, Pipeline, bind, load_pipeline
from dclm.curate.stage import curate
from dclm.curate.step import Context, Step
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.extract.step import Extract
from dclm.pool.files import list_files
from tests.bench.bench_dedup import load_texts
from tests.bench.rows import report

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))
PEERS = ROOT / ".peers"


class Measured(NamedTuple):
    """One program over one input."""

    what: str
    seconds: float
    kept: object
    parts: str = ""


def peer(name: str, script: str, *arguments: object) -> dict[str, object]:
    """Run a script in the peer's environment; returns its last line."""
    command = [str(PEERS / name / "bin" / "python"), "-W", "ignore", str(ROOT / "tests" / "bench" / "peers" / script)]
    ran = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{name} {script} failed:\n{ran.stderr[-2000:]}")
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def of_peer(what: str, found: dict[str, object]) -> Measured:
    """The sum of a peer's stages."""
    seconds = found["seconds"]
    assert isinstance(seconds, dict)
    parts = ", ".join(f"{k} {v:.1f}" for k, v in seconds.items()) if len(seconds) > 1 else ""
    return Measured(what, sum(seconds.values()), found.get("kept", ""), parts)


def ours(what: str, bound: BoundPipeline, pool: str, few: str) -> Measured:
    """A pipeline through the engine, after one over `few` that compiles."""
    run_ours(bound, few)
    started = time.process_time()
    record = run_ours(bound, pool)
    return Measured(what, time.process_time() - started, record.counts["kept"])


def run_ours(bound: BoundPipeline, pool: str) -> Record:
    """The documents artifact of a pipeline in this process."""
    with tempfile.TemporaryDirectory() as out:
        options = CurateOptions(max_reject_fraction=1.0)
        return curate(bound, list_files([pool]), Path(out) / "out", options, SerialEngine())


def of(*steps: Step) -> BoundPipeline:
    """A pipeline of steps that need no files."""
    return BoundPipeline(pipeline=Pipeline(name="bench", steps=steps), files={}, hashes={})


def write_documents(path: Path, texts: list[str]) -> None:
    """JSON lines in a form that all three read."""
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as lines:
        for i, text in enumerate(texts):
            lines.write(json.dumps({"id": str(i), "text": text, "source": "bench"}) + "\n")


def num_ngrams(step: Bloom, texts: list[str]) -> int:
    """The number of keys, which dolma's filter needs in advance."""
    return step.measure(Context())(pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())}))


def minhash(work: Path) -> list[Measured]:
    """Near-duplicates among documents: 14 bands of 8 over word 5-grams, 64 bits."""
    documents, few = work / "all" / "documents", str(work / "few" / "documents")
    bound = of(MinHash(bands=14, rows=8))
    return [
        ours("minhash 14×8: dclm", bound, str(documents), few),
        of_peer("minhash 14×8: datatrove", peer("datatrove", "datatrove_minhash.py", documents, work / "minhash")),
    ]


def bloom(work: Path, texts: list[str]) -> list[Measured]:
    """Paragraphs by their 13-grams: ours counts them first, dolma receives their number."""
    return _bloom(work, texts, "Bloom 13-grams", Bloom(mode="paragraph"), 13)


def bloom_paragraphs(work: Path, texts: list[str]) -> list[Measured]:
    """Whole paragraphs: for ours, an n-gram of all their words, so that case and punctuation count but spacing does
    not. To compare only whole paragraphs, `exact: {of: line}` is exact and needs no filter: the second row.
    """
    whole = Bloom(mode="paragraph", min_ngram=1, max_ngram=1_000_000)
    documents, few = str(work / "all" / "documents"), str(work / "few" / "documents")
    lines = ours("lines: dclm, exact", of(Exact(of="line", min_length=1)), documents, few)
    mine, theirs = _bloom(work, texts, "Bloom, whole paragraphs", whole, 0)
    return [mine, lines, theirs]


def _bloom(work: Path, texts: list[str], what: str, step: Bloom, ngram: int) -> list[Measured]:
    documents, few = str(work / "all" / "documents"), str(work / "few" / "documents")
    found = peer("dolma", "dolma_bloom.py", work / "all", work / f"bloom-{ngram}", ngram, num_ngrams(step, texts))
    return [ours(f"{what}: dclm", of(step), documents, few), of_peer(f"{what}: dolma, dedupe and mix", found)]


def crawl(work: Path) -> list[Measured]:
    """FineWeb's pipeline from WARC to filtered documents, without its deduplication.

    Ours extracts with resiliparse. With trafilatura, both would wait for the same parser (see bench_extract).
    """
    pipeline = load_pipeline(ROOT / "pipelines" / "fineweb.yaml")
    names = [step.name for step in pipeline.steps]
    filters = pipeline.steps[1 : names.index("fineweb_quality") + 1]
    pipeline = dataclasses.replace(pipeline, steps=(Extract(encoding="detect"), *filters))
    pool, few = str(SHARED / "web" / "crawl-*.warc.gz"), str(SHARED / "web" / "crawl-00000.warc.gz")
    model = SHARED / "models" / "lid.176.ftz"
    return [
        ours("crawl, FineWeb's filters: dclm, resiliparse", bind(pipeline), pool, few),
        of_peer(
            "crawl, FineWeb's filters: datatrove, trafilatura",
            peer("datatrove", "datatrove_crawl.py", SHARED / "web", work / "crawl", model),
        ),
    ]


def show(found: list[Measured], count: int, size: float) -> None:
    """Rows; the last one is what the others are compared with."""
    for row in found:
        print(f"{row.what}: {count / row.seconds:,.0f} documents/s, {row.kept} kept; parts, s: {row.parts}", flush=True)
    for row in found[:-1]:
        peer = found[-1]
        report(row.what, "MB/s", size / row.seconds / 1e6, beside=peer.what, theirs=size / peer.seconds / 1e6)


def main(only: str | None) -> None:
    """Print the table."""
    texts = load_texts(SHARED)
    size = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        write_documents(work / "all" / "documents" / "all.jsonl.gz", texts)
        write_documents(work / "few" / "documents" / "few.jsonl.gz", texts[:100])
        if only in (None, "bloom"):
            show(bloom(work, texts), len(texts), size)
            show(bloom_paragraphs(work, texts), len(texts), size)
        if only in (None, "minhash"):
            show(minhash(work), len(texts), size)
        if only in (None, "crawl"):
            found = list_files([str(SHARED / "web" / "crawl-*.warc.gz")])
            show(crawl(work), 2_299, sum(file.size for file in found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["bloom", "minhash", "crawl"])
    main(parser.parse_args().only)
