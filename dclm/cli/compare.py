"""`dclm compare`: two score artifacts, item by item."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
def compare(a: Path, b: Path) -> None:
    """How much better the scores in B are than those in A, with confidence intervals (paired, item by item)."""
    from dclm.eval.compare import Difference
    from dclm.eval.compare import compare as run

    found = run(a, b)
    rows: list[tuple[str, Difference]] = [("common tasks, centred", found.common)]
    if found.core is not None:
        rows.insert(0, ("CORE v2", found.core))
    print(f"{'B minus A':36}{'difference':>11}{'95 % from':>11}{'to':>9}{'P(B better)':>13}{'detectable':>12}")
    for label, d in [*rows, *found.tasks.items()]:
        print(f"{label:36}{d.value:+11.4f}{d.low:+11.4f}{d.high:+9.4f}{d.probability:13.3f}{d.detectable:12.4f}")
    if found.only_in_one:
        print(f"only in one of the two: {', '.join(found.only_in_one)}")
