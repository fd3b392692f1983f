"""Kind of fault: the Ray under a run dies. The run starts it again and goes on, or says so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from pipeline.run import pools
from pipeline.run.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]


def start(*command: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def part_of(run: subprocess.Popen, word: str) -> psutil.Process:
    return next(
        p
        for p in psutil.Process(run.pid).children(recursive=True)
        if word in " ".join(p.cmdline()[:1])
    )


@pytest.mark.parametrize(
    "part", ["raylet/raylet", pytest.param("gcs_server", marks=pytest.mark.slow)]
)
def test_ray_is_started_again_and_the_run_goes_on(tmp_path, part):
    run = start("-m", "tests.regressions.driver_of_a_run", str(tmp_path), "fine", "slow 2")
    ledger, deadline = tmp_path / "ledger", time.monotonic() + 120
    while not list(Ledger(ledger).rows()) and time.monotonic() < deadline:
        time.sleep(0.05)
    before = psutil.Process(run.pid).children(recursive=True)
    part_of(run, part).kill()
    out, told = run.communicate(timeout=180)
    assert run.returncode == 0, told[-3000:]
    assert "[('r0', 'ok'), ('r1', 'ok')]" in out
    assert re.search(r"yld: Ray .*; starting again \(1 of 3 without progress\)", told)
    assert "Traceback" not in told
    calls = (tmp_path / "calls.txt").read_text().split()
    assert calls.count("r0") == 1, "finished work was repeated"
    assert not [p for p in before if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def below_supervisor(body: str) -> tuple[int, str, float]:
    began = time.monotonic()
    run = start(
        "-c",
        textwrap.dedent("""
        import os, sys
        from pipeline.run import supervisor
        from pipeline.commands.options import friendly
        from pipeline.run.health import ClusterLostError
        supervisor.PAUSE_S = 0.0
        @friendly
        def command():
        {body}
        supervisor.run(command)
        """).format(body=textwrap.indent(textwrap.dedent(body), "    ")),
    )
    _, told = run.communicate(timeout=60)
    return run.returncode, told, time.monotonic() - began


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("raise ClusterLostError('Ray did not start')", "Ray did not start"),
        ("os._exit(1)", "the driver left with code 1"),
        ("os.abort()", "the driver died of SIGABRT"),
    ],
)
def test_lost_again_and_again_is_a_sentence_and_an_exit_code(how, why):
    code, told, _ = below_supervisor(how)
    assert code == 3 and told.count("starting again") == 3 and "Traceback" not in told
    assert told.splitlines()[-1].endswith("the same command goes on") and why in told


def test_losses_count_from_the_last_unit_that_finished(tmp_path):
    code, told, _ = below_supervisor(f"""
        path = {str(tmp_path / "count")!r}
        with open(path, "a") as file:
            file.write("x")
        if os.path.getsize(path) <= 5:
            supervisor.progressed()
        if os.path.getsize(path) < 8:
            os._exit(1)
        """)
    assert code == 0 and told.count("starting again (1 of 3") == 5


def test_a_run_that_is_stopped_is_not_started_again():
    run = start(
        "-c",
        # A shell's `&` has its children ignore Ctrl-C, and so would the run.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time\nfrom pipeline.run import supervisor\n"
        "from pipeline.commands.options import friendly\n"
        "def f():\n print('up', flush=True)\n time.sleep(100)\n"
        "supervisor.run(friendly(f))",
    )
    assert run.stdout.readline() == "up\n"
    time.sleep(0.5)  # it is in its work by now, where the interrupt of Python cannot be swallowed
    for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children()]:
        process.send_signal(signal.SIGINT)  # as a terminal does, to the whole group
    _, told = run.communicate(timeout=30)
    assert run.returncode == 130
    assert told == "stopped; the same command goes on where it was\n"


def test_a_run_below_nohup_outlives_its_terminal():
    run = start(
        "-c",
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "import time\nfrom pipeline.run import supervisor\n"
        "def f():\n print('up', flush=True)\n time.sleep(1)\n"
        "supervisor.run(f)",
    )
    assert run.stdout.readline() == "up\n"
    for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children()]:
        process.send_signal(signal.SIGHUP)
    assert run.wait(30) == 0


def test_time_asleep_is_not_charged_to_jobs(monkeypatch):
    """A suspended driver wakes with every job's limit long gone by the system's clock."""
    now = [1000.0]
    monkeypatch.setattr(pools.time, "monotonic", lambda: now[0])
    clock = pools.SteadyClock()
    first = clock()
    now[0] += 0.5
    assert clock() == first + 0.5
    now[0] += 7200.0
    assert clock() == first + 0.5 + pools.MOST_STEP_S


def test_ray_that_does_not_start_is_a_sentence(tmp_path):
    """Its session's folder cannot be made: a file is in the way."""
    program = textwrap.dedent("""
        from pipeline.run import cluster, scratch
        from pathlib import Path
        home = scratch.current()
        Path(home.ray_folder).write_text("in the way")
        try:
            cluster.start(None)
        except cluster.ClusterError as error:
            print("told:", error)
        """)
    out, _ = start("-c", program).communicate(timeout=100)
    assert "told: Ray at this machine did not start: " in out


def test_pools_shrink_to_what_is_left():
    """Living workers keep their shares, so no new one waits for room that cannot come."""
    old = pools.PoolSize(4, 0.5, 0.0)
    assert pools._within(old, pools.PoolSize(4, 0.25, 0.0)) == pools.PoolSize(2, 0.5, 0.0)
    assert pools._within(old, old) == old
    assert pools._within(pools.PoolSize(2, 1.0, 0.0), pools.PoolSize(1, 0.5, 0.0)).workers == 1
    assert pools._within(pools.PoolSize(8, 0.0, 0.0), pools.PoolSize(8, 0.0, 0.0)).workers == 8
