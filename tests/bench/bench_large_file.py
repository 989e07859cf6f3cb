"""One large file: the gain from a second worker, and the cost of a kill.

`python -m tests.bench.bench_large_file --gb 2` makes a plain JSON lines file and a WARC.gz of that size, curates each
with one worker and with two, then kills a run halfway and continues it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PIPELINE = """
name: large
steps:
  - extract: {with: resiliparse}
  - page_length: {of: word, min: 3}
  - gopher_quality: {}
  - exact: {of: text}
"""
_WORDS = [f"word{number}" for number in range(20_000)]
_STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]  # without which Gopher's rules keep nothing
_KINDS = ("large.jsonl", "large.warc.gz")


def text(draw: random.Random) -> str:
    """About 2 kB."""
    return " ".join(draw.choices(_WORDS, k=220) + draw.choices(_STOP_WORDS, k=30))


def write_lines(path: Path, size: int) -> None:
    """JSON lines of this size, of texts that mostly repeat with another beginning."""
    draw = random.Random(0)
    texts = [text(draw) for _ in range(2000)]
    number = 0
    with path.open("wb") as out:
        while out.tell() < size:
            line = {"id": str(number), "text": f"{number} {texts[number % 2000]}"}
            out.write(json.dumps(line).encode() + b"\n")
            number += 1


def write_archive(path: Path, size: int) -> None:
    """A WARC.gz of this size, one member per page; a part of each page is made of bytes that do not compress."""
    draw = random.Random(0)
    pages = [_page(draw) for _ in range(300)]
    number = 0
    with path.open("wb") as out:
        while out.tell() < size:
            block = pages[number % 300].replace(b"NUMBER", str(number).encode())
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
            head += f"WARC-Target-URI: http://example.com/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
            head += f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
            out.write(gzip.compress(head.encode() + block + b"\r\n\r\n", 1, mtime=0))
            number += 1


def _page(draw: random.Random) -> bytes:
    paragraphs = "".join(f"<p>NUMBER {text(draw)}</p>" for _ in range(4))
    noise = "".join(f"<img src='{draw.randbytes(60).hex()}'>" for _ in range(100))
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>{paragraphs}{noise}</body></html>".encode()


def start(work: Path, name: str, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """`dclm curate` over one file, in its own process group."""
    command = [sys.executable, "-m", "dclm.cli.main", "curate", str(work / "large.yaml"), "--pool", str(work / name)]
    command += ["--out", str(out), "--on", "local", "--workers", str(workers)]
    with (work / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def seconds(work: Path, name: str, workers: int) -> float:
    """Measurements of a whole run."""
    started = time.perf_counter()
    if start(work, name, work / f"{name}-{workers}", workers).wait():
        sys.exit((work / "log").read_text())
    return time.perf_counter() - started


def finished(out: Path) -> list[str]:
    """Fingerprints of the units in the journal, with repetitions."""
    entries = sorted((out / ".work" / "journal").glob("*.jsonl"))
    return [json.loads(line)[0] for entry in entries for line in entry.read_text().splitlines()[1:]]


def killed(work: Path, name: str, after: float) -> tuple[int, bool]:
    """Units finished when a run was killed, and whether its continuation gave the bytes of an uninterrupted run."""
    out = work / f"{name}-killed"
    process = start(work, name, out, 2)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stood = len(set(finished(out)))
    if start(work, name, out, 2).wait():
        sys.exit((work / "log").read_text())
    records = [json.loads((folder / "record.json").read_text()) for folder in (out, work / f"{name}-1")]
    return stood, records[0]["files"] == records[1]["files"]


def main(gigabytes: float) -> None:
    """Print times, the ratio, and what a kill costs."""
    size = int(gigabytes * 1e9)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "large.yaml").write_text(PIPELINE, encoding="utf-8")
        write_lines(work / "warm.jsonl", 100_000)
        start(work, "warm.jsonl", work / "warm", 1).wait()  # compiles the kernels
        for name, write in zip(_KINDS, (write_lines, write_archive), strict=True):
            write(work / name, size)
            one, two = (seconds(work, name, workers) for workers in (1, 2))
            print(f"{name} {gigabytes} GB  one_worker_s {one:.1f}  two_workers_s {two:.1f}  ratio {one / two:.2f}")
            stood, same = killed(work, name, two / 2)
            print(f"{name} killed after {two / 2:.1f} s: {stood} units stood, same_bytes {same}", flush=True)
            (work / name).unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--gb", type=float, default=0.25)
    main(parser.parse_args().gb)
