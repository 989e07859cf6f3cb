"""datatrove's example pipeline of FineWeb up to its filters: `datatrove_crawl.py FOLDER_OF_WARCS WORK LID_MODEL`.

Prints CPU seconds and the number of documents kept, as JSON in the last line. The time for loading lists and models
counts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.lid import FT176LID


def main(pool: str, work: str, model: str) -> None:
    """Run the pipeline in this process."""
    FT176LID.MODEL_URL = model  # the compressed model of the same classes, which needs no download
    pipeline = [
        WarcReader(pool, glob_pattern="crawl-*.warc.gz"),
        URLFilter(),
        Trafilatura(favour_precision=True),
        LanguageFilter(),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        JsonlWriter(f"{work}/kept", compression=None),
    ]
    started = time.process_time()
    LocalPipelineExecutor(pipeline=pipeline, tasks=1, workers=1, logging_dir=f"{work}/logs").run()
    seconds = time.process_time() - started
    kept = sum(1 for path in sorted(Path(work, "kept").iterdir()) for _ in path.open("rb"))
    print(json.dumps({"seconds": {"whole": seconds}, "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
