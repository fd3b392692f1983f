"""Starting or joining Ray, and proving that every node sees the corpus folder."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from manifests.paths import printable
from pipeline.run import health, metrics, scratch, supervisor
from pipeline.run.health import ClusterError, ClusterLostError
from pipeline.run.terminal import stdin_closed
from pipeline.storage.work_files import WorkFiles

__all__ = ["ClusterError", "ClusterLostError"]
START_S, STOP_S = 300.0, 60.0
PATIENCE = {"health_check_failure_threshold": 20, "gcs_rpc_server_reconnect_timeout_s": 300}
"""A Ray of our own is on one machine, where a missed heartbeat means that the machine is busy or
was suspended: it waits for minutes, and `health` sees at once what really ended."""
WANTS_TOKEN = 9
ASK_WITHOUT_TOKEN = f"""
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_get(b"session_name", b"session", timeout=20)
except Exception as error:
    sys.exit({WANTS_TOKEN} if type(error).__name__ == "AuthenticationError" else 1)
"""
_watch: health.Watch | None = None
_is_kept = False


def visible_cpus() -> int:
    """CPUs this process may use (what `taskset` or a container leaves it)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(address: str | None, num_cpus: int | None = None) -> None:
    """Join the Ray cluster at `address`, or start a local one, and watch it from then on.

    Raises ClusterError, and SetupError where metrics are asked for and their libraries are
    wanting; below a supervisor a Ray that does not start is tried again.
    """
    global _watch
    if _is_kept and _watch is not None:
        _watch.check()
        return
    # Set before ray is imported: its workers inherit the environment.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    port = metrics.port()
    os.environ.setdefault("RAY_enable_metrics_collection", "0" if port is None else "1")
    prepare()
    if address:
        _reach(address)
        _present_token(address)
    home = scratch.current()
    with health.Deadline(START_S, "Ray did not start"):
        import ray

        _say_command_line()
        try:
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
            else:
                with stdin_closed():
                    # "local" by name: without it Ray joins whatever cluster runs here.
                    ray.init(
                        address="local",
                        num_cpus=num_cpus or visible_cpus(),
                        include_dashboard=False,
                        object_store_memory=200 * 2**20,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                        _temp_dir=home.ray_folder,
                        _system_config=PATIENCE,
                        _metrics_export_port=port,
                    )
        except (Exception, SystemExit) as error:  # Ray raises many kinds, and may try to exit
            with contextlib.suppress(Exception, SystemExit):
                ray.shutdown()
            words = " ".join(str(error).split())[:300] or type(error).__name__
            raise ClusterLostError(
                f"Ray at {address or 'this machine'} did not start: {words}"
            ) from None
        _watch = health.Watch(ray._private.worker._global_node, is_own=not address)
    _stop_on_sigterm()  # again: Ray sets a handler of its own


def prepare() -> None:
    """What workers on any engine want: they find our packages, and SIGTERM ends a run."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    scratch.current()
    _stop_on_sigterm()


@contextmanager
def kept() -> Iterator[None]:
    """Around several runs with one address: the Ray that the first one needs serves them all."""
    global _is_kept
    _is_kept = True
    try:
        yield
    finally:
        _is_kept = False
        if _watch is not None:
            stop()


def check() -> None:
    """Raises ClusterLostError when the Ray that was started or joined is lost."""
    if _watch is not None:
        _watch.check()


def watch() -> health.Watch | None:
    """What follows the Ray that this process started or joined."""
    return _watch


@contextmanager
def errors_told() -> Iterator[None]:
    """Errors of Ray's own become one sentence: ClusterLostError, or ClusterError."""
    try:
        yield
    except KeyboardInterrupt:
        check()  # the watch, too, interrupts what hangs
        raise
    except Exception as error:
        is_rays = type(error).__module__.split(".")[0] in ("ray", "grpc")
        if not (is_rays or isinstance(error, (ConnectionError, TimeoutError))):
            check()  # whatever it is: a lost cluster is its cause
            raise
        if _watch is not None:
            _watch.settle()
        if not is_rays:
            raise
        raise ClusterError(f"Ray failed: {' '.join(str(error).split())[:300]}") from None


def stop() -> None:
    """Leave the cluster; a Ray of our own ends, with all its processes."""
    global _watch
    if _is_kept:
        return
    import ray

    watch, _watch = _watch, None
    if watch is not None:
        watch.close()
    if watch is None or watch.lost is None:
        with health.Deadline(STOP_S, "Ray did not end"):
            ray.shutdown()
        return
    if supervisor.is_supervised():
        return  # the supervisor ends what is left, without another word to Ray
    watch.kill()
    thread = threading.Thread(target=ray.shutdown, daemon=True)
    thread.start()
    thread.join(STOP_S)


def _say_command_line() -> None:
    """Ray sends the command line to its head as text, and the name of a file may be none."""
    from ray._private import utils

    said = getattr(utils, "get_entrypoint_name", None)
    if said is not None and any(printable(a) != a for a in sys.orig_argv):
        utils.get_entrypoint_name = lambda: printable(said())


def _stop_on_sigterm() -> None:
    """A scheduler's SIGTERM ends a run as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, supervisor.interrupt)


def _present_token(address: str) -> None:
    """Show the token of ~/.ray to a cluster that asks for one, as one of `ray start` does as soon
    as there is one; a driver that joins by host and port shows it only where told to.

    A driver that shows one wants one from whoever talks to it: in a cluster without, it would be
    taken for dead. So the cluster is asked, by a process that leaves no setting behind.
    """
    kept = os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token")
    has_one = os.environ.get("RAY_AUTH_TOKEN") or Path(kept).is_file()
    if not has_one or "RAY_AUTH_MODE" in os.environ:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(
            [sys.executable, "-c", ASK_WITHOUT_TOKEN, address.rpartition("://")[2]],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if asked.returncode == WANTS_TOKEN:
            os.environ["RAY_AUTH_MODE"] = "token"


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
            f"or leave --address out to work on this machine"
        ) from None


def prove_nodes(
    files: WorkFiles, own_files: Sequence[str] = (), timeout_s: float = 60.0
) -> list[dict[str, str]]:
    """Let each live node read and write `files` and look for `own_files`, media of the user's.

    Raises ClusterError naming those that cannot.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipeline.run.engines.ray_engine import prove_node

    token = secrets.token_hex(8)
    files.write("tmp/token", token)
    nodes = [n for n in ray.nodes() if n["Alive"]]
    answers = {n["NodeID"]: f"tmp/node-{i}" for i, n in enumerate(nodes)}
    asked = {
        n["NodeID"]: prove_node.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
        ).remote(files, token, list(own_files), answers[n["NodeID"]])
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
        if files.read(answers[node["NodeID"]]) != token:
            place = files.address or files.folder
            problems.append(f"{name}: what it wrote to {place} is not seen here")
    files.drop(["tmp/token", *answers.values()])
    if problems:
        check()
        raise ClusterError(
            "nodes that cannot work on the corpus (its folder must be on a file system that all "
            "share, or an fsspec address):\n  " + "\n  ".join(problems)
        )
    return proven
