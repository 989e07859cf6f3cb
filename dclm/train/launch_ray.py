"""Ranks on a Ray cluster, through Ray Train."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dclm.core.engine import WAIT_SECONDS
from dclm.core.errors import ConfigError, DclmError
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import Record, read_record
from dclm.core.storage import TEMPORARY, is_local
from dclm.train import ask_to_stop
from dclm.train.checkpoint import require_fresh
from dclm.train.faults import LostRankError
from dclm.train.follow import followed
from dclm.train.options import TrainOptions
from dclm.train.ranks import backends
from dclm.train.run import train
from dclm.train.scale import Scale, find_scale, with_tokens
from dclm.train.trackers import require_trackers

POLL_SECONDS = 1.0
START_SECONDS = 60
"""Seconds that Ray Train waits for the ranks to start before it retries."""


def launch_ray(
    tokens: Path | str,
    out: Path | str,
    *,
    scale: Scale | str,
    seed: int,
    options: TrainOptions,
    num_ranks: int,
    min_ranks: int | None = None,
    max_failures: int = 3,
    make_progress: Callable[[], Progress] = NullProgress,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """`train` on `num_ranks` workers of the connected Ray cluster, one GPU each unless `device` is cpu.

    `tokens` and `out` must be on storage that all nodes share. With `min_ranks` the run is elastic: it starts with as
    many workers as there is room for, Ray Train changes their number when nodes join or leave, and it waits
    indefinitely while there is room for fewer. Whenever it restarts the ranks (after a loss, up to `max_failures`
    times) they continue from the last checkpoint, in the same data order.
    SIGTERM or SIGHUP in this process is forwarded to the ranks, which save a checkpoint and end.
    Progress is reported in this process, from the files that the ranks write under `out`.
    say: called with a message when the run has to wait, for example for a node with a GPU from an autoscaler.
    Raises: whatever `train` raises; ConfigError if the cluster has no room for the ranks within
    `dclm.core.engine.WAIT_SECONDS`; LostRankError if a run that is not elastic loses a node, and no other replaces it
    within the time that a rank may stall.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    if not is_local(out):
        hint = "train in the job's own process (one rank), or choose an --out on storage that all nodes share"
        what = "ranks on several nodes write checkpoints together, which needs a shared folder"
        raise ConfigError(str(out), what, hint)
    tokens, out = Path(tokens), Path(out)
    require_fresh(out, options.resume, options.force)
    require_trackers(options.track)
    scratch = out.parent / f"{TEMPORARY}ray-{out.name}"
    use_gpu = options.device == "cuda" or (options.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    await_room("GPU" if use_gpu else "CPU", min_ranks or num_ranks, say)
    trainer = TorchTrainer(
        _rank,
        train_loop_config={
            "tokens": tokens,
            "out": out,
            "scale": scale,
            "seed": seed,
            "options": dataclasses.replace(options, resume=True),
            "scratch": scratch,
        },
        torch_config=TorchConfig(backend=backends(use_gpu), timeout_s=options.timeout_seconds),
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_ranks if min_ranks is None else (min_ranks, num_ranks),
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1} | ({"GPU": 1} if use_gpu else {}),
        ),
        run_config=ray.train.RunConfig(
            name=f"train-{out.name}",
            storage_path=str(scratch.absolute()),
            failure_config=ray.train.FailureConfig(
                max_failures=max_failures, controller_failure_limit=options.timeout_seconds // START_SECONDS
            ),
        ),
    )
    chosen = with_tokens(find_scale(scale) if isinstance(scale, str) else scale, options.num_tokens)
    ask_to_stop.clear(scratch)
    try:
        with ask_to_stop.passed_on(scratch), followed(out, chosen, make_progress()):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        told = _deliberate(error) or lost_ranks(error, num_ranks, out)
        if told is None:
            raise
        raise told from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return read_record(out)


def cluster_has_gpus() -> bool:
    """Whether a Ray cluster is connected and has GPUs, which this process's node may lack."""
    import ray

    return bool(ray.is_initialized() and ray.cluster_resources().get("GPU", 0) > 0)


def await_room(resource: str, num_ranks: int, say: Callable[[str], None]) -> None:
    """Wait until the cluster has one CPU or GPU for each rank. They are requested from its autoscaler, if it has one.
    Raises: ConfigError if they are not available within `WAIT_SECONDS`; Ray itself would wait forever.
    """
    import ray
    from ray.autoscaler.sdk import request_resources

    since, told = time.monotonic(), False
    while (there := ray.cluster_resources().get(resource, 0)) < num_ranks:
        if time.monotonic() - since >= WAIT_SECONDS:
            what = f"found {there:g} {resource}s in the cluster, needed: {num_ranks}, one per worker"
            hint = "add nodes, or ask for fewer with --nproc or --min-nproc"
            raise ConfigError(f"{num_ranks} ranks on Ray", what, hint)
        if not told:
            request_resources(bundles=[{"CPU": 1, resource: 1}] * num_ranks)
            limit = f"at most {WAIT_SECONDS:,.0f} s"
            say(f"waiting for {num_ranks} {resource}s, of which the cluster has {there:g} ({limit})")
            told = True
        time.sleep(POLL_SECONDS)
    if told:
        request_resources(bundles=[])  # the ranks themselves are the demand from now on


def _rank(job: dict[str, Any]) -> None:
    """One rank, in the process group that Ray Train has created."""
    import ray.train

    with ask_to_stop.obeyed(job["scratch"], answers=ray.train.get_context().get_world_rank() == 0):
        train(job["tokens"], job["out"], scale=job["scale"], seed=job["seed"], options=job["options"])


def lost_ranks(error: BaseException, num_ranks: int, out: Path) -> LostRankError | None:
    """The error for when Ray Train has repeatedly tried to restart the ranks, and found no room for all of them."""
    from ray.train import ControllerError

    if not isinstance(error, ControllerError):
        return None
    what = f"the cluster had no room for all of them again: {str(error.controller_failure).splitlines()[0]}"
    hint = "add nodes, or ask for fewer ranks with --nproc or --min-nproc; --resume continues from the last checkpoint"
    return LostRankError(f"{out}: {num_ranks} ranks on Ray", what, hint)


def _deliberate(error: BaseException) -> DclmError | None:
    """The error that a rank deliberately raised, found within Ray's wrapping."""
    inner: list[BaseException] = list(getattr(error, "worker_failures", {}).values())
    inner += [e for e in (error.__cause__, getattr(error, "cause", None)) if isinstance(e, BaseException)]
    for each in inner:
        found = each if isinstance(each, DclmError) else _deliberate(each)
        if found is not None:
            return found
    return None
