"""Tokenization compared with a plain Hugging Face pipeline, on one core: `python -m tests.bench.bench_tokens`.

Seconds are CPU seconds of this process. The encoder alone gets the same texts as lists of strings in the same process,
in turn with the whole stage; both are warm: one round before the measured ones has loaded the encoders, which remember
words. "New texts": a new process has seen one half of the documents, and gets the other half once: the encoder alone in
one process, the whole stage in the next. Whether their ids are equal: `bench_encoders`.
"""

from __future__ import annotations

import gzip
import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from dclm.assets import fetch
from dclm.tokens.documents import find_documents, read_texts
from dclm.tokens.stage import tokenize
from dclm.tokens.tokenizer import Encoder, encode
from tests.bench.rows import report

FILES = ("newsgroups20", "instruct_small", "reddit_questions", "openstax_cnxml", "novels_100")
SAMPLE = 10  # Hugging Face gets every tenth document
SHARDS = 8
RUNS = 5


class Row(NamedTuple):
    """One measurement."""

    what: str
    speeds: tuple[float, ...]
    """MB/s of each run."""


def write_documents(shared: Path, folder: Path, every: int, first: int = 0) -> Path:
    """Parquet shards of every `every`-th document of `FILES`, from the one with the index `first` on."""
    texts = []
    for name in FILES:
        with gzip.open(shared / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    texts = texts[first::every]
    folder.mkdir()
    for shard in range(SHARDS):
        part = texts[shard * len(texts) // SHARDS : (shard + 1) * len(texts) // SHARDS]
        pq.write_table(pa.table({"text": part}), folder / f"{shard:05d}.parquet", compression="zstd")
    return folder


def batches(folder: Path) -> Iterator[list[str]]:
    for file in find_documents(folder).files:
        yield from read_texts(file)


def megabytes(folder: Path) -> float:
    return sum(len(text.encode()) for batch in batches(folder) for text in batch) / 1e6


def plain(folder: Path, out: Path, path: str) -> None:
    """A straightforward first version: encode each batch, extend a list, cut it into rows, shuffle them in memory."""
    encoder = Tokenizer.from_file(path)
    stream: list[int] = []
    for texts in batches(folder):
        for encoding in encoder.encode_batch_fast(texts, add_special_tokens=False):
            stream += [*encoding.ids, 0]
    count = len(stream) // 2049
    rows = np.array(stream[: count * 2049], dtype=np.uint16).reshape(count, 2049)
    np.random.default_rng(0).permutation(rows).tofile(out)


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds."""
    start = time.process_time()
    function()
    return time.process_time() - start


def encoding_seconds(folder: Path, path: str, encoder: Encoder) -> float:
    """CPU seconds of the encoder alone, on strings that no encoder has seen: Python keeps their UTF-8."""
    read = list(batches(folder))
    return seconds(lambda: [encode(path, encoder, texts) for texts in read])


def measure(shared: Path, work: Path) -> list[Row]:
    """Ours on all documents, Hugging Face's on a sample."""
    path = str(fetch("gpt-neox-20b"))
    everything, sample = write_documents(shared, work / "all", 1), write_documents(shared, work / "sample", SAMPLE)
    large, small = megabytes(everything), megabytes(sample)
    outs = (work / f"out-{number}" for number in itertools.count())
    works: dict[str, Callable[[], float]] = {
        "encode: Hugging Face": lambda: small / encoding_seconds(sample, path, "hf"),
        "encode: fastokens": lambda: large / encoding_seconds(everything, path, "fast"),
        "whole: plain Hugging Face": lambda: small / seconds(lambda: plain(sample, work / "plain", path)),
        "whole: dclm tokenize": lambda: large / seconds(lambda: tokenize([everything], next(outs))),
    }
    found: dict[str, list[float]] = {what: [] for what in works}
    for _ in range(1 + RUNS):
        for what, measured in works.items():
            found[what].append(measured())
    return [Row(what, tuple(speeds[1:])) for what, speeds in found.items()]


def measure_new(shared: Path, work: Path) -> list[Row]:
    """The encoder alone and the whole stage on texts that they have not seen, in turn, each in a process of its own."""
    path = str(fetch("gpt-neox-20b"))
    seen, new = write_documents(shared, work / "seen", 2), write_documents(shared, work / "new", 2, first=1)
    size = megabytes(new)
    found: dict[str, list[float]] = {"encode: fastokens": [], "whole: dclm tokenize": []}
    for run in range(RUNS):
        out = work / f"new-{run}"
        found["encode: fastokens"].append(size / _in_new_process(encoding_new, seen, new, path))
        found["whole: dclm tokenize"].append(size / _in_new_process(tokenizing_new, seen, new, str(out)))
    return [Row(what, tuple(speeds)) for what, speeds in found.items()]


def _in_new_process(measured: Callable[[Path, Path, str], float], seen: Path, new: Path, other: str) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, seen, new, other).result()


def encoding_new(seen: Path, new: Path, path: str) -> float:
    """CPU seconds of the encoder alone on `new`, after it has encoded `seen`."""
    encoding_seconds(seen, path, "fast")
    return encoding_seconds(new, path, "fast")


def tokenizing_new(seen: Path, new: Path, out: str) -> float:
    """CPU seconds of the whole stage on `new`, after the whole stage on `seen`."""
    tokenize([seen], f"{out}-seen")
    return seconds(lambda: tokenize([new], out))


def main() -> None:
    """Print the table."""
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"  # before the encoders start their threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    shared = Path(os.environ.get("DCLM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    work = Path(tempfile.mkdtemp(prefix="bench-tokens-"))
    try:
        rows = measure(shared, work)
        theirs, encoder, plain_rows, ours = rows
        report("encode alone", "MB/s", encoder.speeds, beside="Hugging Face", theirs=theirs.speeds)
        report(
            "tokenize → pack → shuffle",
            "MB/s",
            ours.speeds,
            beside="plain Hugging Face pipeline",
            theirs=plain_rows.speeds,
            limit=statistics.median(encoder.speeds),
            limit_name="encoder alone",
        )
        encoder, ours = measure_new(shared, work)
        report(
            "tokenize → pack → shuffle, new texts",
            "MB/s",
            ours.speeds,
            limit=statistics.median(encoder.speeds),
            limit_name="encoder alone on new texts",
        )
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
