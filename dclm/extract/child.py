"""The process in which risky pages are parsed: `python -m dclm.extract.child NAME MAX_MEMORY_BYTES MAX_SECONDS`.

Both ways, a message is eight bytes of length (little endian) and so many bytes; replies begin with one more byte,
b"t" for the text, b"e" for what the parser complained of, and the CPU seconds of the process so far, as a double.
Before all that the process says b"r": it is ready. It ends when its input does.
"""

from __future__ import annotations

import resource
import signal
import struct
import sys
import time
from typing import BinaryIO

from dclm.extract.extractors import load_extractor

TEXT = b"t"
ERROR = b"e"
READY = b"r"
LENGTH_BYTES = 8
HEAD = struct.Struct("<cdQ")
"""Of a reply: status, CPU seconds, length."""


def serve(name: str, max_memory_bytes: int, max_seconds: float, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer every request. A parser that dies takes the process with it; the parent then starts another.

    A page that takes longer than `max_seconds` ends the process too: the parent may be gone and kill it no more.
    """
    extract = load_extractor(name)
    extract("<p>A page</p>")  # some load word lists with their first page, which is not that page's time
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    replies.write(READY)
    replies.flush()
    while head := requests.read(LENGTH_BYTES):
        html = requests.read(int.from_bytes(head, "little")).decode("utf-8", "replace")
        signal.setitimer(signal.ITIMER_REAL, max_seconds)
        try:
            status, reply = TEXT, extract(html)
        except Exception as error:  # whatever a page does to a parser is that page's reject, with this reason
            status, reply = ERROR, f"{type(error).__name__}: {error}"[:300]
        signal.setitimer(signal.ITIMER_REAL, 0)
        data = reply.encode("utf-8", "replace")
        replies.write(HEAD.pack(status, time.process_time(), len(data)) + data)
        replies.flush()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer, sys.stdout.buffer)
