"""A Ray cluster on this machine: start it, show its state, and stop only the processes that were started."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from dclm.core.errors import ConfigError, DclmError
from dclm.core.storage import write_atomic

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""Settings that head, workers and clients of a cluster that only this machine can reach must share."""
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_KILL_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """A running cluster, as described in its state file."""

    pid: int
    """Process id of `ray start --block`, leader of the session that contains all its processes."""
    started: int
    """Start time of that process in clock ticks since boot: distinguishes it from a later one with the same pid."""
    address: str
    """Address of the dashboard, which accepts jobs: http://127.0.0.1:PORT."""
    gcs: str
    """HOST:PORT for `ray.init` and for further nodes."""
    log: str
    """File with Ray's output."""


class ClusterError(DclmError):
    """The cluster did not start, or did not stop."""


def default_state() -> Path:
    """Directory of the state file: one local cluster per user."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "dclm" / "cluster"


def cluster_up(workers: int | None = None, port: int = 8265, state: Path | None = None) -> LocalCluster:
    """Start a head node with `workers` CPUs (default: all) and its dashboard on `port` (0: any free port).

    Returns at once if the cluster of `state` is already running. Raises: ConfigError if the port is taken, ClusterError
    with the last lines of the log if Ray does not start.
    """
    state = state or default_state()
    running = cluster_status(state)
    if running:
        return running
    port, gcs_port, agent_port = _free_port(port), _free_port(0), _free_port(0)
    state.mkdir(parents=True, exist_ok=True)
    log = state / "ray.log"
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
        f"--port={gcs_port}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={port}",
        f"--dashboard-agent-listen-port={agent_port}",
        *([f"--num-cpus={workers}"] if workers else []),
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    pid = os.posix_spawn(
        command[0],
        command,
        environment | ENVIRONMENT | {"PATH": path},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    cluster = LocalCluster(
        pid=pid,
        started=_start_time(pid) or 0,
        address=f"http://127.0.0.1:{port}",
        gcs=f"127.0.0.1:{gcs_port}",
        log=str(log),
    )
    write_atomic(_state_file(state), json.dumps(dataclasses.asdict(cluster), indent=1).encode())
    try:
        _await_dashboard(cluster)
    except BaseException:
        cluster_down(state)
        raise
    return cluster


def cluster_status(state: Path | None = None) -> LocalCluster | None:
    """The running cluster of `state`, if there is one."""
    try:
        cluster = LocalCluster(**json.loads(_state_file(state or default_state()).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    return cluster if _start_time(cluster.pid) == cluster.started else None


def cluster_down(state: Path | None = None) -> bool:
    """Stop the cluster of `state`: only processes of the session that `cluster_up` began. False if none was running.

    Raises: ClusterError if some of them survive even SIGKILL.
    """
    state = state or default_state()
    try:
        cluster = LocalCluster(**json.loads(_state_file(state).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
    members = _session(cluster)
    for pid in members[:1]:
        os.kill(pid, signal.SIGTERM)  # the leader ends its children in order
    _await_end(cluster, _STOP_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _session(cluster):
            _signal(pid, number)
        _await_end(cluster, _KILL_SECONDS)
    left = _session(cluster)
    if left:
        raise ClusterError("cluster", f"{len(left)} processes do not end: {left}")
    _state_file(state).unlink()
    return bool(members)


def _state_file(state: Path) -> Path:
    return state / "cluster.json"


def _await_dashboard(cluster: LocalCluster) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _start_time(cluster.pid) is None:
            break
        try:
            with urllib.request.urlopen(f"{cluster.address}/api/version", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    tail = " · ".join(Path(cluster.log).read_text(errors="replace").split("\n")[-4:]).strip(" ·")
    raise ClusterError("cluster", f"Ray did not start: {tail[-300:]}", f"see {cluster.log}")


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            what = f"port {port} is taken, perhaps by another cluster"
            raise ConfigError("cluster", what, "choose another with --port, or 0 for any") from None
        return int(probe.getsockname()[1])


def _start_time(pid: int) -> int | None:
    """Start time of a process in ticks since boot; None if it is not running (or is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _session(cluster: LocalCluster) -> list[int]:
    """Live processes of the cluster's session, its leader first; none if the session's number was reused."""
    started = _start_time(cluster.pid)
    if started is not None and started != cluster.started:
        return []
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            try:
                alive = _start_time(pid) is not None and os.getsid(pid) == cluster.pid
            except ProcessLookupError:
                continue
            if alive:
                members.append(pid)
    return sorted(members, key=lambda pid: (pid != cluster.pid, pid))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _await_end(cluster: LocalCluster, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _session(cluster) and time.monotonic() < deadline:
        time.sleep(0.1)
