"""A cache: units of work that outlive the artifact they were made for, so that another run finds them finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dclm.core.engine import Engine
from dclm.core.journal import Journal
from dclm.core.lease import held
from dclm.core.ownership import WORK, claim_folder
from dclm.core.packed import Packed
from dclm.core.progress import Progress
from dclm.core.stage import Workspace
from dclm.core.storage import is_local, remove_temporary
from dclm.core.store import absolute, open_store

KIND = "cache"


@contextlib.contextmanager
def open_cache(
    address: str | Path,
    engine: Engine,
    progress: Progress,
    *,
    inputs: Iterable[str | Path] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Workspace]:
    """A workspace at `address` whose finished units stay. Their files are compared with their hashes before reuse.

    inputs: files and directories that must not overlap with it. say: called with a message about each unit whose files
    have changed. Raises: ConfigError if `address` is something else, IncompleteError if another run is using it.
    """
    home = absolute(address)
    claim_folder(home, KIND, inputs)
    with held(home, say=say) as lease:
        if is_local(home):
            remove_temporary(Path(home))
        journal = Journal(open_store(home), f"{WORK}/journal")
        finished: Packed[str] = Packed()
        finished.update(journal.read())
        try:
            yield Workspace(
                out=home,
                engine=engine,
                progress=progress,
                lease=lease,
                journal=journal,
                finished=finished,
                unchecked=set(finished),
                say=say,
            )
        finally:
            journal.flush()
