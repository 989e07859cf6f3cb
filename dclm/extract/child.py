"""The process in which risky pages are parsed: `python -m dclm.extract.child NAME MAX_MEMORY_BYTES`.

Both ways, a message is eight bytes of length (little endian) and so many bytes; replies begin with one more byte,
b"t" for the text, b"e" for what the parser complained of. The process ends when its input does.
"""

from __future__ import annotations

import resource
import sys
from typing import BinaryIO

from dclm.extract.extractors import load_extractor

TEXT = b"t"
ERROR = b"e"
LENGTH_BYTES = 8


def serve(name: str, max_memory_bytes: int, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer every request. A parser that dies takes the process with it; the parent then starts another."""
    extract = load_extractor(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    while head := requests.read(LENGTH_BYTES):
        html = requests.read(int.from_bytes(head, "little")).decode("utf-8", "replace")
        try:
            status, reply = TEXT, extract(html)
        except Exception as error:  # whatever a page does to a parser is that page's reject, with this reason
            status, reply = ERROR, f"{type(error).__name__}: {error}"[:300]
        data = reply.encode("utf-8", "replace")
        replies.write(status + len(data).to_bytes(LENGTH_BYTES, "little") + data)
        replies.flush()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
