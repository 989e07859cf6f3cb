"""A whole recipe with its pool and everything it makes on S3: the data of every artifact is that of a local run.

Fingerprints differ: a pool on S3 is identified by the store's checksums, one on a disk by its sha256.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dclm.board.result import read_result
from dclm.core.record import read_record
from dclm.core.stages.engine import SerialEngine
from dclm.core.stores.store import join, local_file, open_store
from dclm.recipe.recipe import LoadedRecipe, load_recipe
from dclm.recipe.run import Run, RunOptions

ARTIFACTS = ("classifiers/hq", "documents/sample", "tokens", "validation", "scores")
IDENTIFIED = ("state.json", "loss.svg")
"""Files of a checkpoint that depend on the run's fingerprint or on the drawing of a chart."""
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "smoke.yaml"


def recipe() -> LoadedRecipe:
    """The smallest recipe with held-out text, on S3 if the pool is."""
    loaded = load_recipe(RECIPE)
    held_out = dataclasses.replace(loaded.recipe, validation="pool:sample/validation.jsonl.gz")
    return dataclasses.replace(loaded, recipe=held_out)


def data(home: str, name: str) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in read_record(join(home, name)).files}


@pytest.mark.slow
@pytest.mark.network
def test_a_recipe_on_s3_gives_the_bytes_of_a_disk(s3: str, tmp_path: Path) -> None:
    for home in (str(tmp_path / "out"), f"{s3}/out"):
        result = Run(recipe(), home, SerialEngine(), RunOptions()).execute()
        assert result == join(home, "result.json")
    here, there = str(tmp_path / "out"), f"{s3}/out"
    for name in ARTIFACTS:
        assert data(there, name) == data(here, name)
    trained = [
        {path: digest for path, digest in data(home, "train").items() if not path.endswith(IDENTIFIED)}
        for home in (here, there)
    ]
    assert trained[0] == trained[1]
    one, other = read_result(local_file(join(here, "result.json"))), read_result(local_file(join(there, "result.json")))
    assert one.scores == other.scores
    assert [link.kind for link in one.chain] == [link.kind for link in other.chain]
    left = [key for key in open_store(there).list() if ".work/" in key or key.endswith(".lease.json")]
    assert not left
    again: list[str] = []
    Run(recipe(), there, SerialEngine(), RunOptions(say=again.append)).execute()
    assert any("reused" in line for line in again)
