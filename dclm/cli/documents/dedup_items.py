"""`dclm dedup items`: evaluation items as documents, for an index that other documents are run against."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, put_result, say


@click.command()
@click.option("--suite", help="core, extended, mmlu, light, or another file of eval_suite/suites.")
@click.option("--tasks", help="Labels of tasks, separated by commas, instead of a suite.")
@click.option("--out", type=LOCAL_PATH, required=True, help="JSON lines to write.")
@force_option
def items(suite: str | None, tasks: str | None, out: Path, force: bool) -> None:
    """Write evaluation items as documents, from which `dclm dedup index` can make an index.

    A document is an item's question with the right answer, as `dclm contamination` searches for it.
    """
    import json

    from dclm.core.errors import ConfigError
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.eval.contamination import item_documents
    from dclm.eval.suite import load_suite, suite_of

    labels = tuple(name.strip() for name in (tasks or "").split(",") if name.strip())
    if (suite is None) == (not labels):
        raise ConfigError("items", "found both or neither of --suite and --tasks, allowed: one of them", "--suite core")
    claim_file(out, force=force)
    documents, missing = item_documents(load_suite(suite) if suite is not None else suite_of(labels))
    lines = "".join(f"{json.dumps(document, ensure_ascii=False)}\n" for document in documents)
    write_atomic(out, lines.encode("utf-8", "replace"))
    for label, reason in missing.items():
        say(f"missing: {label}: {reason}")
    put_result({"path": out, "items": len(documents), "missing": missing}, f"{out}: {len(documents):,} items")
