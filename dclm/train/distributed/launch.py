"""Several ranks on this machine, through torchrun's launcher."""

from __future__ import annotations

import pickle
import signal
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dclm.core.errors import DclmError
from dclm.core.record import Record, read_record
from dclm.core.stages import stopping
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.stopping import Stopped
from dclm.train.distributed.faults import LostRankError
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale


def launch(
    tokens: Path | str,
    out: Path | str,
    *,
    scale: Scale | str,
    seed: int,
    options: TrainOptions,
    num_ranks: int,
    make_progress: Callable[[], Progress] = NullProgress,
) -> Record:
    """`train` on `num_ranks` processes of this machine; with one, in this process.

    `make_progress` (a class or module-level function) creates the first rank's progress. If a rank dies, the others are
    stopped. Raises: whatever `train` raises on the rank that fails first.
    """
    if num_ranks == 1:
        return train(tokens, out, scale=scale, seed=seed, options=options, progress=make_progress())
    with tempfile.TemporaryDirectory(prefix="dclm-launch-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_ranks,
            run_id=uuid.uuid4().hex,
            max_restarts=0,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            start_method="spawn",
            local_addr="localhost",
        )
        try:
            elastic_launch(config, _rank)(tokens, out, scale, seed, options, make_progress, Path(folder))
        except SignalException as error:  # the launcher has forwarded the signal, and the ranks have ended
            stopped = [each for each in _reports(Path(folder)) if isinstance(each, Stopped)]
            raise (stopped[0] if stopped else Stopped(int(error.sigval))) from None
        except ChildFailedError as error:
            told = _explain(error, Path(folder))
            if told is None:
                raise
            raise told from error
    return read_record(out)


def _reports(folder: Path) -> list[DclmError | Stopped]:
    """The errors that ranks left before they ended. The folder belongs to this process."""
    return [pickle.loads(path.read_bytes()) for path in sorted(folder.iterdir())]


def _explain(error: ChildFailedError, reports: Path) -> DclmError | Stopped | None:
    """The cause of the failure: a rank's own error takes precedence over a death, and a death over the resulting errors
    of other ranks."""
    told = _reports(reports)
    own = [each for each in told if not isinstance(each, LostRankError)]
    signals = {rank: -failure.exitcode for rank, failure in error.failures.items()}
    if own:
        return own[0]
    for rank, number in signals.items():
        if number > 0 and number != signal.SIGTERM:  # the launcher sends it to the others
            hint = "SIGKILL: out of memory? SIGABRT: did NCCL wait longer than --timeout? --resume continues the run"
            return LostRankError(f"rank {rank}", f"was killed by {signal.Signals(number).name}", hint)
    return told[0] if told else None


def _rank(
    tokens: Path | str,
    out: Path | str,
    scale: Scale | str,
    seed: int,
    options: TrainOptions,
    make_progress: Callable[[], Progress],
    reports: Path,
) -> None:
    """One rank; a deliberate error is stored in `reports` for the launcher, which cannot see exceptions of
    processes."""
    stopping.install()
    try:
        train(tokens, out, scale=scale, seed=seed, options=options, progress=make_progress())
    except (DclmError, Stopped) as error:
        (reports / f"{uuid.uuid4().hex}.pickle").write_bytes(pickle.dumps(error))
        if isinstance(error, Stopped):
            raise SystemExit(error.exit_code) from None
        raise
