"""The memory that a process may still use, so that demanding steps can refuse before they start."""

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
    """Available bytes: of the machine, or of the control group if that is less."""
    free = [_machine_bytes(meminfo)]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
        free.append(max(0, int(most) - int(used.read_text())))
    return min(free)


def room_bytes() -> int:
    """Memory that a step may plan with: nine tenths of what is available, as in BFF."""
    return int(available_bytes() * FRACTION)


def check_together(name: str, needs: Sequence[int], workers: int) -> None:
    """Raises: ConfigError if the `workers` largest of `needs` (bytes per worker) do not fit in memory together.

    If not even one fits, the step itself reports how much is needed.
    """
    room = room_bytes()
    largest = sorted(needs, reverse=True)[:workers]
    fitting = bisect.bisect_right(list(itertools.accumulate(largest)), room)
    if 0 < fitting < len(largest):
        what = f"{len(largest)} partitions at once need {show_bytes(sum(largest))}; {show_bytes(room)} available"
        raise ConfigError(name, what, f"use --workers {fitting}")


def _machine_bytes(meminfo: Path) -> int:
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def show_bytes(count: int) -> str:
    """`count` in the largest unit (powers of 1000) that leaves a number ≥ 1."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
