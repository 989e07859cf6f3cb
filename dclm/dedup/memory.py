"""How much memory a process may still take, so that what needs much can refuse before it starts."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from dclm.core.errors import ConfigError

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
FRACTION = 0.9


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Bytes free to take: of the machine, or of the control group where that is less."""
    free = [_machine_bytes(meminfo)]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
        free.append(max(0, int(most) - int(used.read_text())))
    return min(free)


def room_bytes() -> int:
    """What a step may plan with: nine tenths of what is available, as BFF."""
    return int(available_bytes() * FRACTION)


def check_together(name: str, needs: Sequence[int], workers: int) -> None:
    """Raises: ConfigError if so many of `needs` (bytes, each of one worker) as there are workers may not fit at once.

    Where not even one fits, who needs it says so itself, and what would do.
    """
    room = room_bytes()
    largest = sorted(needs, reverse=True)[:workers]
    fitting = bisect.bisect_right(list(itertools.accumulate(largest)), room)
    if 0 < fitting < len(largest):
        what = f"{len(largest)} partitions at once need {show_bytes(sum(largest))}; {show_bytes(room)} can be had"
        raise ConfigError(name, what, f"--workers {fitting} would do")


def _machine_bytes(meminfo: Path) -> int:
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def show_bytes(count: int) -> str:
    """`count` in the largest unit of 1000s that leaves a number ≥ 1."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
