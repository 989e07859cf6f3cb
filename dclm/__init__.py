"""Pretraining-data curation, training and evaluation as one reproducible chain.

This is the interface for notebooks and scripts; the command line is `dclm`. Each function makes an artifact in a
directory (or finds it there, finished) and returns it opened:

    import dclm
    from dclm.steps import Exact, PageLength

    mine = dclm.Pipeline(
        name="mine",
        steps=(PageLength(of="word", min=50), dclm.own("rules.py:keep", min_words=3), Exact()),
    )
    documents = dclm.curate(mine, "pool/*.jsonl", "out/documents")
    documents                                     # in Jupyter: documents in and out of each step
    documents.ledger.to_pandas()                  # one row per record read: which step dropped it, and why
    documents.why("https://example.org/page")     # the same for one record

    tokens = dclm.tokenize(documents, "out/tokens")
    model = dclm.train(tokens, "out/train", scale="tiny")
    scores = dclm.evaluate(model, "out/scores", suite="core", limit=100)
    scores.tasks.to_polars()

    result = dclm.run("recipes/demo.yaml", "out/demo")       # all of this from one recipe file
    dclm.compare("out/a", "out/b")                # which of two models is better, and how certain that is
    dclm.predict(["a/result.json", "b/result.json"], small="1b", large="7b")
    dclm.open_artifact("out/documents")           # anything that a command has made

Errors that you can fix are `dclm.DclmError`, with the place, what was found and what is allowed, and a hint. Results
never depend on the number of workers; in a script that asks for more than one, guard its start with `if __name__ ==
"__main__":`, as Python's processes require.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dclm.api.artifacts import Artifact as Artifact
    from dclm.api.artifacts import Checkpoint as Checkpoint
    from dclm.api.artifacts import Documents as Documents
    from dclm.api.artifacts import RunDirectory as RunDirectory
    from dclm.api.artifacts import Scores as Scores
    from dclm.api.artifacts import Tokens as Tokens
    from dclm.api.artifacts import open_artifact as open_artifact
    from dclm.api.judgments import Compared as Compared
    from dclm.api.judgments import Predicted as Predicted
    from dclm.api.judgments import compare as compare
    from dclm.api.judgments import predict as predict
    from dclm.api.stages import curate as curate
    from dclm.api.stages import evaluate as evaluate
    from dclm.api.stages import own as own
    from dclm.api.stages import run as run
    from dclm.api.table import Table as Table
    from dclm.api.training import tokenize as tokenize
    from dclm.api.training import train as train
    from dclm.core.errors import DclmError as DclmError
    from dclm.curate.pipeline import Pipeline as Pipeline

_WHERE = {
    "curate": "dclm.api.stages",
    "tokenize": "dclm.api.training",
    "train": "dclm.api.training",
    "evaluate": "dclm.api.stages",
    "run": "dclm.api.stages",
    "own": "dclm.api.stages",
    "compare": "dclm.api.judgments",
    "predict": "dclm.api.judgments",
    "open_artifact": "dclm.api.artifacts",
    "Pipeline": "dclm.curate.pipeline",
    "Artifact": "dclm.api.artifacts",
    "Documents": "dclm.api.artifacts",
    "Tokens": "dclm.api.artifacts",
    "Checkpoint": "dclm.api.artifacts",
    "Scores": "dclm.api.artifacts",
    "RunDirectory": "dclm.api.artifacts",
    "Table": "dclm.api.table",
    "Compared": "dclm.api.judgments",
    "Predicted": "dclm.api.judgments",
    "DclmError": "dclm.core.errors",
}
"""Public name → the module that defines it, which is imported at first use, so that `import dclm` is fast."""
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name == "steps":
        return importlib.import_module("dclm.steps")
    raise AttributeError(f"module 'dclm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, "steps"})
