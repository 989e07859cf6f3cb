"""What mending the reference's bugs changes on its own 2,287 pages: docs/baseline_fixed.md.

`python -m tests.bench.bench_baseline_fixed` prints the page; with `--write`, into the file. The heuristics only,
without the curated list of domains, on texts that are extracted already.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from dclm.curate.pipeline import load_pipeline
from tests.bench.bench_filters import ROOT, Outcome, pages, run

TARGET = ROOT / "docs" / "baseline_fixed.md"
_THEIRS = ROOT / "pipelines" / "dclm_baseline.yaml"
_MENDED = ROOT / "pipelines" / "dclm_baseline_fixed.yaml"
_NOT_SEEN = ("extract", "fasttext_score", "threshold")

HEAD = """<!-- Made by `python -m tests.bench.bench_baseline_fixed --write`; edits here are lost. -->

# What mending the reference's bugs changes

`pipelines/dclm_baseline_fixed.yaml` is `dclm_baseline.yaml` with plain bugs of the reference mended. This is what each
does to the {count:,} extracted pages of the reference data, {kept:,} of which `dclm_baseline` keeps (only heuristics,
without the curated list of domains). Mending `extract` cannot be seen there: 12 of 2,299 pages are not UTF-8.
"""


def page(documents: pa.RecordBatch) -> Iterator[str]:
    """The lines of the page."""
    theirs, mended = load_pipeline(_THEIRS).steps, load_pipeline(_MENDED).steps
    known = [i for i, step in enumerate(theirs) if step.name not in _NOT_SEEN]
    known = [i for i in known if "refinedweb-domains-curated" not in theirs[i].assets]
    different = [i for i in known if theirs[i] != mended[i]]
    before = run([theirs[i] for i in known], documents)
    yield HEAD.format(count=documents.num_rows, kept=len(before.kept))
    yield "| mended | pages now kept | now dropped | kept with another text | dropped by another step |"
    yield "|---|---|---|---|---|"
    for chosen, name in [*(([i], theirs[i].name) for i in different), (different, "all of these")]:
        after = run([mended[i] if i in chosen else theirs[i] for i in known], documents)
        yield f"| {name} | {' | '.join(_cells(before, after, documents.num_rows))} |"
    yield "\nIn brackets, the steps that dropped the pages before → now, and how many.\n"
    yield from reasons()


def _cells(before: Outcome, after: Outcome, count: int) -> Iterator[str]:
    kept: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    edited = 0
    for row in range(count):
        was, now = before.dropped.get(row), after.dropped.get(row)
        if was is None and now is None:
            edited += before.kept[row] != after.kept[row]
        elif was != now:
            (kept if now is None else dropped if was is None else moved)[_way(was, now)] += 1
    yield from (_sum(kept), _sum(dropped), str(edited), _sum(moved))


def _way(was: str | None, now: str | None) -> str:
    return " → ".join(step for step in (was, now) if step is not None)


def _sum(ways: Counter[str]) -> str:
    parts = ", ".join(f"{way} {num}" for way, num in sorted(ways.items()))
    return f"{ways.total()} ({parts})" if ways else "0"


def reasons() -> Iterator[str]:
    """What the head of the pipeline file says of each step, one line each."""
    head = _MENDED.read_text(encoding="utf-8").split("name:")[0].replace("\n#   ", " ")
    yield from (f"- **{name}**: {why}" for name, why in re.findall(r"^# (\w+): (.+)$", head, re.MULTILINE))


def main() -> None:
    text = "\n".join(page(pages())) + "\n"
    if "--write" in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
