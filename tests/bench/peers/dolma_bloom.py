"""dolma's Bloom filter over paragraphs: `dolma_bloom.py FOLDER WORK NGRAM NUM_KEYS`, one process, stride 1.

NGRAM 0: whole paragraphs. FOLDER holds documents/*.jsonl.gz. Prints CPU seconds, as JSON in the last line.
"""

from __future__ import annotations

import json
import resource
import sys

from dolma import deduper


def cpu_seconds() -> float:
    """CPU seconds of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(folder: str, work: str, ngram: int, num_keys: int) -> None:
    """Mark the paragraphs that are known, entirely or to 80 %."""
    paragraphs: dict[str, object] = {"attribute_name": "known"}
    if ngram:
        paragraphs["by_ngram"] = {"ngram_length": ngram, "stride": 1, "overlap_threshold": 0.8}
    config = {
        "documents": [f"{folder}/documents/*.gz"],
        "work_dir": {"input": f"{work}/input", "output": f"{work}/output"},
        "dedupe": {
            "name": "bench", "skip_empty": True, "min_length": 0, "min_words": 0, "num_partitions": 1,
            "partition_index": 0, "paragraphs": paragraphs,
        },
        "bloom_filter": {
            "file": f"{work}/filter.bin", "read_only": False, "size_in_bytes": 0,
            "estimated_doc_count": num_keys, "desired_false_positive_rate": 0.01,
        },
        "is_s3_volume": False, "processes": 1, "compression": {"input": None, "output": None},
    }  # fmt: skip
    started = cpu_seconds()
    deduper(config)
    print(json.dumps({"seconds": {"whole": cpu_seconds() - started}}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
