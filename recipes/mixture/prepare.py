"""Writes the sources of `swarm.yaml` to `out/mixture` (next to `recipes`), from the texts that DCLM_SHARED names.

Run `python recipes/mixture/prepare.py`. Posts and novels are thinned to about four million bytes each. Every
twelfth chapter of the textbooks and the articles of WikiText-2's test file are held out: 4,000 characters each of 40.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared")) / "text"
OUT = ROOT / "out" / "mixture"
LIMIT = 4_000_000
PIECE = 20_000
HELD_OUT_CHARACTERS = 4_000
HELD_OUT_DOCUMENTS = 40


def read(name: str) -> list[str]:
    """The texts of a file of JSON lines."""
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def articles(name: str) -> list[str]:
    """The articles of a file of WikiText-2: each begins with ` = Title = `."""
    text = (SHARED / "wikitext2" / name).read_text(encoding="utf-8")
    return [part.strip() for part in re.split(r"(?m)^(?= = [^=\n]+ = $)", text) if part.strip()]


def thinned(texts: list[str]) -> list[str]:
    """Texts at equal distances, so that about `LIMIT` bytes are left."""
    every = -(-sum(len(text.encode()) for text in texts) // LIMIT)
    return texts[::every]


def write(name: str, texts: Iterable[str]) -> None:
    """Write JSON lines, and say how large they are."""
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_text("".join(lines), encoding="utf-8")
    sys.stdout.write(f"{name}: {len(lines):,} documents, {sum(map(len, lines)):,} bytes\n")


def main() -> None:
    """Write all files."""
    chapters, posts, novels = (read(f"{n}.jsonl.gz") for n in ("openstax_cnxml", "newsgroups20", "novels_100"))
    pieces = [novel[i : i + PIECE] for novel in novels for i in range(0, len(novel), PIECE)]
    write("posts.jsonl", thinned(posts))
    write("novels.jsonl", thinned(pieces))
    write("textbooks.jsonl", [chapter for i, chapter in enumerate(chapters) if i % 12])
    write("encyclopaedia.jsonl", articles("valid.txt"))
    held_out = {"textbooks": chapters[::12], "encyclopaedia": articles("test.txt")}
    for name, texts in held_out.items():
        write(f"held-{name}.jsonl", [text[:HELD_OUT_CHARACTERS] for text in texts][:HELD_OUT_DOCUMENTS])
    both = [text[:HELD_OUT_CHARACTERS] for texts in held_out.values() for text in texts[:HELD_OUT_DOCUMENTS]]
    write("held-both.jsonl", both)


if __name__ == "__main__":
    main()
