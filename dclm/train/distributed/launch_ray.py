"""Ranks on a Ray cluster, through Ray Train."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dclm.core.errors import ConfigError, DclmError
from dclm.core.record import Record, read_record
from dclm.core.stages.engine import WAIT_SECONDS
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.storage import TEMPORARY
from dclm.core.stores.cache import scratch
from dclm.train.distributed import ask_to_stop
from dclm.train.distributed.faults import LostRankError
from dclm.train.distributed.follow import followed
from dclm.train.distributed.messages import Messages, ReportedProgress, Topic
from dclm.train.distributed.ranks import backends
from dclm.train.options import TrainOptions
from dclm.train.output.checkpoint import require_fresh
from dclm.train.output.home import open_home
from dclm.train.output.trackers import require_trackers
from dclm.train.run import train
from dclm.train.scale import Scale, find_scale, with_tokens

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

    `tokens` and `out` are addresses that all nodes can read: URLs, or paths on storage that they share. With a URL as
    `out`, every node writes its part of a checkpoint in its scratch folder and publishes it from there; when the run
    continues, every node reads all of the last checkpoint. With `min_ranks` the run is elastic: it starts with as many
    workers as there is room for, Ray Train changes their number when nodes join or leave, and it waits indefinitely
    while there is room for fewer. Whenever it restarts the ranks (after a loss, up to `max_failures` times) they
    continue from the last checkpoint, in the same data order. Progress is reported in this process. SIGTERM or SIGHUP
    in this process is forwarded to the ranks, which save a checkpoint and end.
    say: called with a message when the run has to wait, for example for a node with a GPU from an autoscaler.
    Raises: whatever `train` raises; ConfigError if the cluster has no room for the ranks within `WAIT_SECONDS`;
    LostRankError if a run that is not elastic loses a node, and no other replaces it within the time that a rank may
    stall.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    name = str(out).rstrip("/").rpartition("/")[2]
    require_fresh(str(out), open_home(out).unfinished(), options.resume, options.force)
    require_trackers(options.track)
    use_gpu = options.device == "cuda" or (options.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    await_room("GPU" if use_gpu else "CPU", min_ranks or num_ranks, say)
    messages = shared_messages()
    own = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=scratch()))
    trainer = TorchTrainer(
        _rank,
        train_loop_config={
            "tokens": tokens,
            "out": out,
            "scale": scale,
            "seed": seed,
            "options": dataclasses.replace(options, resume=True),
            "messages": messages,
        },
        torch_config=TorchConfig(backend=backends(use_gpu), timeout_s=options.timeout_seconds),
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_ranks if min_ranks is None else (min_ranks, num_ranks),
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1} | ({"GPU": 1} if use_gpu else {}),
        ),
        run_config=ray.train.RunConfig(
            name=f"train-{name}",
            storage_path=str(own),  # of Ray Train's own state: nothing that a rank would read
            failure_config=ray.train.FailureConfig(
                max_failures=max_failures, controller_failure_limit=options.timeout_seconds // START_SECONDS
            ),
        ),
    )
    chosen = with_tokens(find_scale(scale) if isinstance(scale, str) else scale, options.num_tokens)
    try:
        with ask_to_stop.passed_on(messages), followed(messages, chosen, make_progress()):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        told = _deliberate(error) or lost_ranks(error, num_ranks, str(out))
        if told is None:
            raise
        raise told from error
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return read_record(out)


class _Remote(Messages):
    """Messages that an actor holds, for this process and every rank."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def tell(self, topic: Topic, message: Any) -> None:
        import ray

        ray.get(self._actor.tell.remote(topic, message))

    def last(self, topic: Topic) -> Any:
        import ray

        return ray.get(self._actor.last.remote(topic))


def shared_messages() -> Messages:
    """Messages that live as long as this process needs them, on its own node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return _Remote(ray.remote(num_cpus=0, scheduling_strategy=here)(Messages).remote())


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

    is_first, messages = ray.train.get_context().get_world_rank() == 0, job["messages"]
    with ask_to_stop.obeyed(messages, answers=is_first):
        train(
            job["tokens"],
            job["out"],
            scale=job["scale"],
            seed=job["seed"],
            options=job["options"],
            progress=ReportedProgress(messages) if is_first else None,
        )


def lost_ranks(error: BaseException, num_ranks: int, out: str) -> LostRankError | None:
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
