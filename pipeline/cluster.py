"""Starting or joining Ray, and proving that every node sees the corpus folder."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from manifests.paths import printable
from pipeline.terminal import stdin_closed
from pipeline.work_files import WorkFiles


class ClusterError(RuntimeError):
    """Ray could not be started, or a node cannot work on the corpus; the message names it."""


def visible_cpus() -> int:
    """CPUs this process may use (what `taskset` or a container leaves it)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def start(address: str | None, num_cpus: int | None = None) -> None:
    """Join the Ray cluster at `address`, or start a local one. Raises ClusterError."""
    # Set before ray is imported: its workers inherit the environment.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_enable_metrics_collection", "0")
    root = str(Path(__file__).resolve().parents[1])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    if address:
        _reach(address)
        _present_token()
    import ray

    _say_command_line()

    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            with stdin_closed():
                # "local" by name: without it Ray joins whatever cluster runs on this machine.
                ray.init(
                    address="local", num_cpus=num_cpus or visible_cpus(),
                    include_dashboard=False, object_store_memory=200 * 2**20,
                    log_to_driver=False, logging_level="ERROR",
                )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterError(f"Ray at {address or 'this machine'} did not start: {error}") from None
    _stop_on_sigterm()


def _say_command_line() -> None:
    """Ray sends the command line to its head as text, and the name of a file may be none."""
    from ray._private import utils

    said = getattr(utils, "get_entrypoint_name", None)
    if said is not None and any(printable(a) != a for a in sys.orig_argv):
        utils.get_entrypoint_name = lambda: printable(said())


def _stop_on_sigterm() -> None:
    """A scheduler's SIGTERM ends a run as Ctrl-C does; Ray's own handler prints a stack."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _present_token() -> None:
    """`ray start` asks for the token of ~/.ray as soon as there is one, but a driver that joins by
    host and port shows it only where told to; a cluster that wants none ignores it."""
    kept = os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or Path(kept).is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _reach(address: str, timeout_s: float = 5.0) -> None:
    """Ray tries for minutes to join a host that does not answer; ask it first."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, "
            f"or leave --address out to work on this machine") from None


def prove_nodes(files: WorkFiles, own_files: Sequence[str] = (),
                timeout_s: float = 60.0) -> list[dict[str, str]]:
    """Let each live node read and write `files` and look for `own_files`, media of the user's.

    Raises ClusterError naming those that cannot.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipeline.workers import prove_node

    token = secrets.token_hex(8)
    files.write("tmp/token", token)
    nodes = [n for n in ray.nodes() if n["Alive"]]
    asked = {
        n["NodeID"]: prove_node.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
        ).remote(files, token, list(own_files))
        for n in nodes
    }
    proven, problems = [], []
    for node in nodes:
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            proven.append(ray.get(asked[node["NodeID"]], timeout=timeout_s))
        except Exception as error:  # any fault of a node is that node's fault
            cause = getattr(error, "cause", None) or error
            problems.append(f"{name}: {type(cause).__name__}: {str(cause).splitlines()[0]}")
            continue
        if files.read(f"tmp/node-{node['NodeID']}") != token:
            place = files.address or files.folder
            problems.append(f"{name}: what it wrote to {place} is not seen here")
    files.drop(["tmp/token", *(f"tmp/node-{n['NodeID']}" for n in nodes)])
    if problems:
        raise ClusterError(
            "nodes that cannot work on the corpus (its folder must be on a file system that all "
            "share, or an fsspec address):\n  "
            + "\n  ".join(problems)
        )
    return proven
