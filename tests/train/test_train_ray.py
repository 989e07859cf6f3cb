"""Ray Train's workers train the model that one process trains."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dclm.errors import ConfigError, DataError
from dclm.train.launch_ray import launch_ray
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with two CPUs whatever it has."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.filterwarnings("ignore")
def test_ray_workers_train_the_model_of_one_process_and_tell_what_they_refuse(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    one = train(tokens, tmp_path / "one", scale=small_scale, seed=1, options=PLAIN)
    two = launch_ray(tokens, tmp_path / "two", scale=small_scale, seed=1, options=PLAIN, num_ranks=2)
    assert two.fingerprint == one.fingerprint
    assert two.counts["train_loss"] == pytest.approx(one.counts["train_loss"], rel=1e-4)
    assert two.provenance["world_size"] == 2
    assert not list(tmp_path.glob(".tmp-*"))
    few = make_tokens("few", num_sequences=10)
    with pytest.raises(DataError, match="needs 2,560 tokens"):
        launch_ray(few, tmp_path / "few-run", scale=small_scale, seed=1, options=PLAIN, num_ranks=2, max_failures=0)
    (tmp_path / "two" / "record.json").unlink()
    with pytest.raises(ConfigError, match="unfinished run"):
        launch_ray(tokens, tmp_path / "two", scale=small_scale, seed=1, options=PLAIN, num_ranks=2)
