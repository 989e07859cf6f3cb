"""dolma's Bloom filter over paragraphs: `dolma_bloom.py FOLDER WORK NGRAM NUM_KEYS`, one process, stride 1.

NGRAM 0: whole paragraphs. FOLDER holds documents/*.jsonl.gz. `dedupe` writes which paragraphs are known, and `mix`
writes the documents without them. Prints the CPU seconds of both and the number of documents written, as JSON in the
last line.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from pathlib import Path

from dolma import deduper, mixer


def cpu_seconds() -> float:
    """CPU seconds of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(folder: str, work: str, ngram: int, num_keys: int) -> None:
    """Mark the paragraphs that are known, entirely or to 80 %, and write the documents without them."""
    paragraphs: dict[str, object] = {"attribute_name": "known"}
    if ngram:
        paragraphs["by_ngram"] = {"ngram_length": ngram, "stride": 1, "overlap_threshold": 0.8}
    name = f"ngram-{ngram}"
    config = {
        "documents": [f"{folder}/documents/*.gz"],
        "work_dir": {"input": f"{work}/input", "output": f"{work}/output"},
        "dedupe": {
            "name": name, "skip_empty": True, "min_length": 0, "min_words": 0, "num_partitions": 1,
            "partition_index": 0, "paragraphs": paragraphs,
        },
        "bloom_filter": {
            "file": f"{work}/filter.bin", "read_only": False, "size_in_bytes": 0,
            "estimated_doc_count": num_keys, "desired_false_positive_rate": 0.01,
        },
        "is_s3_volume": False, "processes": 1, "compression": {"input": None, "output": None},
    }  # fmt: skip
    mix = {
        "work_dir": config["work_dir"], "processes": 1, "shuffle": False,
        "streams": [{
            "name": "bench", "documents": config["documents"], "attributes": [name],
            "output": {"path": f"{work}/mixed", "max_size_in_bytes": 1 << 31, "min_text_length": 1},
            "span_replacement": [
                {"span": "$.attributes.known", "min_score": 0.5, "replacement": "", "syntax": "jsonpath"}
            ],
            "compression": {"input": None, "output": None},
        }],
    }  # fmt: skip
    started = cpu_seconds()
    deduper(config)
    marked = cpu_seconds()
    mixer(mix)
    seconds = {"dedupe": marked - started, "mix": cpu_seconds() - marked}
    print(json.dumps({"seconds": seconds, "kept": written(Path(work) / "mixed")}))


def written(folder: Path) -> int:
    """The number of documents in a folder."""
    count = 0
    for path in folder.rglob("*.gz"):
        with gzip.open(path) as lines:
            count += sum(1 for _ in lines)
    return count


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
