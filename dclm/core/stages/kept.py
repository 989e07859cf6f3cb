"""A cache: units of work that outlive the artifact they were made for, so that another run finds them finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dclm.core.stages.engine import Engine
from dclm.core.stages.lease import held
from dclm.core.stages.ownership import claim_folder
from dclm.core.stages.progress import Progress
from dclm.core.stages.stage import Workspace, open_workspace
from dclm.core.stores.store import absolute

KIND = "cache"


@contextlib.contextmanager
def open_cache(
    address: str | Path,
    engine: Engine,
    progress: Progress,
    *,
    inputs: Iterable[str | Path] = (),
    wait: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Workspace]:
    """A workspace at `address` whose finished units stay. Their files are compared with their hashes before reuse.

    inputs: files and directories that must not overlap with it. wait: wait while another run uses it.
    say: called with a message about each unit whose files
    have changed. Raises: ConfigError if `address` is something else, IncompleteError if another run is using it.
    """
    home = absolute(address)
    claim_folder(home, KIND, inputs)
    with held(home, wait=wait, say=say) as lease, open_workspace(home, engine, progress, lease, say) as space:
        yield space
