"""datatrove's four MinHash stages in one process: `datatrove_minhash.py FOLDER_OF_JSONL WORK`, 14 × 8 over 5-grams.

Prints CPU seconds of each stage and the documents kept, as JSON in the last line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig


def main(documents: str, work: str) -> None:
    """Run the stages one after another."""
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    signatures, buckets, remove, kept = (f"{work}/{name}" for name in ("signatures", "buckets", "remove", "kept"))
    stages = {
        "signature": ([JsonlReader(documents), MinhashDedupSignature(signatures, config=config)], 1),
        "buckets": ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        "cluster": ([MinhashDedupCluster(buckets, remove, config=config)], 1),
        "filter": ([JsonlReader(documents), MinhashDedupFilter(remove), JsonlWriter(kept, compression=None)], 1),
    }
    seconds = {}
    for name, (pipeline, tasks) in stages.items():
        started = time.process_time()
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=f"{work}/logs/{name}").run()
        seconds[name] = time.process_time() - started
    count = sum(1 for path in sorted(Path(kept).iterdir()) for _ in path.open("rb"))
    print(json.dumps({"seconds": seconds, "kept": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
