"""The whole of curation on real pages: WARC → filtered documents, on one core: `python -m tests.bench.bench_pipeline`.

The pipeline is dclm_refinedweb_open (24 steps). In the same run, the unavoidable work alone: reading the records
(fastwarc) and parsing the HTML (resiliparse). A first pass compiles the kernels and is not counted. CPU seconds of this
process and of the one that parses risky pages, which other work on the machine disturbs less than wall time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from resiliparse.extract.html2text import extract_plain_text

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.extract.guard import cpu_seconds
from dclm.pool.files import InputFile, list_files
from dclm.pool.read import Tally, read_file
from tests.bench.rows import report

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))
RUNS = 3


def rate(work: Callable[[], int]) -> float:
    """What the work counted, per CPU second."""
    started = cpu_seconds()
    count = work()
    return count / (cpu_seconds() - started)


def read(files: tuple[InputFile, ...]) -> int:
    """Read every record."""
    return sum(batch.num_rows for file in files for batch in read_file(file, Tally()))


def parse(files: tuple[InputFile, ...]) -> int:
    """Read every record and parse what is UTF-8."""
    count = 0
    for file in files:
        for batch in read_file(file, Tally()):
            for body in batch.column("body").to_pylist():
                try:
                    text = body.decode()
                except UnicodeDecodeError:
                    continue
                extract_plain_text(text, main_content=True)
                count += 1
    return count


def pipeline(files: tuple[InputFile, ...]) -> int:
    """The documents artifact, made from scratch."""
    with tempfile.TemporaryDirectory() as directory:
        bound = bind(load_pipeline(ROOT / "pipelines" / "dclm_refinedweb_open.yaml"))
        record = curate(bound, files, Path(directory) / "out", CurateOptions(), SerialEngine())
        read = record.counts["read"]
        assert isinstance(read, int)
        return read


def main() -> None:
    """Print the table."""
    found = list_files([str(SHARED / "web" / "crawl-*.warc.gz")])
    pipeline(found[:1])  # compiles
    works = {"read": read, "parse": parse, "pipeline": pipeline}
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):  # in turns, so that each run of one has a neighbor of the others
        for name, work in works.items():
            rates[name].append(rate(lambda work=work: work(found)))  # type: ignore[misc]
    report(
        "WARC to filtered documents, 24 steps",
        "documents/s",
        rates["pipeline"],
        beside="reading + Resiliparse alone",
        theirs=rates["parse"],
    )
    report("reading alone", "documents/s", rates["read"])


if __name__ == "__main__":
    main()
