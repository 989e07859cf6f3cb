"""The process in which risky pages are parsed: `python -m dclm.extract.child NAME MAX_MEMORY_BYTES MAX_SECONDS`.

In both directions, a message is eight bytes of length (little endian) and that many bytes. A reply begins with one more
byte, b"t" for the text or b"e" for the parser's error, followed by the CPU seconds of the process so far, as a double.
At the start the process sends b"r": it is ready. It ends when its input does.
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
"""Fields of a reply: status, CPU seconds, length."""


def serve(name: str, max_memory_bytes: int, max_seconds: float, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer every request. A parser that dies takes the process with it; the parent then starts another.

    A page that takes longer than `max_seconds` also ends the process: the parent may be gone and unable to kill it.
    """
    extract = load_extractor(name)
    extract("<p>A page</p>")  # some load word lists with their first page, which must not count as that page's time
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    replies.write(READY)
    replies.flush()
    while head := requests.read(LENGTH_BYTES):
        html = requests.read(int.from_bytes(head, "little")).decode("utf-8", "replace")
        signal.setitimer(signal.ITIMER_REAL, max_seconds)
        try:
            status, reply = TEXT, extract(html)
        except Exception as error:  # any failure of a parser makes the page a reject with this reason
            status, reply = ERROR, f"{type(error).__name__}: {error}"[:300]
        signal.setitimer(signal.ITIMER_REAL, 0)
        data = reply.encode("utf-8", "replace")
        replies.write(HEAD.pack(status, time.process_time(), len(data)) + data)
        replies.flush()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer, sys.stdout.buffer)
