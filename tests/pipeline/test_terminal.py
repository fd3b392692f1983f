"""At a terminal every command ends, and what it starts has no terminal to be stopped by."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.talking import talking_files
from tests.terminal import at_terminal

YLD = [sys.executable, "-m", "pipeline.cli"]


class Watch:
    """Looks at the workers below a process; `seen` counts them, `wrong` tells what they hold."""

    def __init__(self, also_below: int | None = None) -> None:
        self.seen, self.wrong, self._below = set(), {}, also_below

    def __call__(self, pid: int) -> None:
        for root in {pid, self._below} - {None}:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(root).children(recursive=True):
                    self._look_at(process)

    def _look_at(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error, OSError):
            words = " ".join(process.cmdline())
            if not (words.startswith("ray::StageWorker.run") or "worker_process" in words):
                return
            self.seen.add(process.pid)
            for each in [process, *process.children(recursive=True)]:
                held = each.terminal(), os.readlink(f"/proc/{each.pid}/fd/0")
                if held != (None, os.devnull):
                    self.wrong[each.pid] = (each.name(), *held)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return talking_files(tmp_path_factory.mktemp("inputs"), 3.0)


@pytest.fixture(scope="module")
def built(inputs, tmp_path_factory):
    out, watch = tmp_path_factory.mktemp("corpus"), Watch()
    ended = at_terminal([*YLD, "build", str(inputs), "--out", str(out)], 200, look=watch)
    return out, ended, watch


def test_a_build_ends_and_its_workers_have_no_terminal(built):
    _, ended, watch = built
    assert ended.code == 0, ended.text[-2000:]
    assert watch.seen and watch.wrong == {}


def test_an_audit_and_a_correction_end(inputs, tmp_path):
    out = tmp_path / "fixed"
    ended = at_terminal([*YLD, "resync", str(inputs), "--out", str(out)], 250)
    assert ended.code in (0, 1), ended.text[-2000:]  # which clips are sure is another's question
    assert (out / "before" / "offsets.parquet").exists() and (out / "report.html").exists()


def test_scoring_ends(inputs, tmp_path):
    ended = at_terminal(
        [
            *YLD,
            "evaluate",
            "--hyp",
            str(inputs),
            "--ref",
            str(inputs),
            "--out",
            str(tmp_path / "scores"),
            "--metrics",
            "stoi",
            "--no-ceilings",
        ],
        200,
    )
    assert ended.code == 0, ended.text[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_training_ends(inputs, tmp_path):
    corpus = tmp_path / "corpus"  # three speakers of two people, or training refuses
    at_terminal(
        [*YLD, "build", str(inputs), "--out", str(corpus), "--set", "speakers.distance=0"], 200
    )
    ended = at_terminal(
        [
            *YLD,
            "train",
            "lipsync",
            str(corpus),
            "--out",
            str(tmp_path / "w.safetensors"),
            "--towers",
            "1",
            "--steps",
            "2",
            "--jobs",
            "2",
        ],
        900,
    )
    assert ended.code == 0, ended.text[-2000:]


def test_training_that_refuses_ends(built, tmp_path):
    ended = at_terminal(
        [*YLD, "train", "lipsync", str(built[0]), "--out", str(tmp_path / "w.safetensors")], 200
    )
    assert ended.code == 2 and "are too few" in ended.text and "Traceback" not in ended.text


def test_what_was_built_can_be_cleaned_away_and_a_strangers_file_stays(inputs, tmp_path):
    out = tmp_path / "out"
    watch = Watch()  # of one file, which a worker without Ray builds
    at_terminal([*YLD, "build", str(inputs / "talk0.mp4"), "--out", str(out)], 200, look=watch)
    assert watch.seen and watch.wrong == {}
    mine = out / "work" / "media" / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("MINE")
    ended = at_terminal([*YLD, "clean", str(out), "--yes"], 60)
    assert ended.code == 0 and "work/media/mine.txt" in ended.text, ended.text
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == [".yld.json", "mine.txt"]


def test_workers_of_a_cluster_begun_at_a_terminal_have_none(inputs, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--port",
        str(port),
        "--num-cpus",
        "2",
        "--include-dashboard=false",
        "--disable-usage-stats",
    ]
    script = tmp_path / "both.sh"  # one terminal for the cluster and the build that joins it
    build = [
        *YLD,
        "build",
        str(inputs / "talk0.mp4"),
        "--out",
        str(tmp_path / "out"),
        "--address",
        f"127.0.0.1:{port}",
    ]
    waits = "until (: < /dev/tcp/127.0.0.1/$0) 2> /dev/null; do sleep 0.2; done"
    line = subprocess.list2cmdline
    script.write_text(
        f"set -m\n{line(ray)} > {tmp_path}/ray.log 2>&1 &\nhead=$!\n"
        f"timeout 120 bash -c '{waits}' {port}\n"
        f"{line(build)}\ncode=$?\nkill -TERM -- -$head\nwait\nexit $code\n"
    )
    watch = Watch()
    ended = at_terminal(["bash", str(script)], 250, look=watch)
    assert ended.code == 0, ended.text[-2000:]
    assert watch.seen and watch.wrong == {}


def test_a_stopped_reader_of_the_terminal_is_what_this_guards_against():
    """The kernel's rule: a background group that changes its terminal is stopped. If this ever
    fails, the tests above prove nothing."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "from pipeline.run.terminal import leave_terminal\n"
        "toucher = 'import sys, termios; termios.tcsetattr(0, 0, termios.tcgetattr(0))'\n"
        "def start(before): return subprocess.Popen([sys.executable, '-c', toucher],\n"
        "    preexec_fn=before, process_group=0, stderr=subprocess.DEVNULL)\n"
        "def fate(child):\n"
        "    _, status = os.waitpid(child.pid, os.WUNTRACED)\n"
        "    if not os.WIFSTOPPED(status): return 'ended'\n"
        "    child.kill(); return 'stopped'\n"
        "print(fate(start(None)), fate(start(leave_terminal)))\n"
    )
    ended = at_terminal([sys.executable, "-c", code], 60)
    assert ended.text.split()[-2:] == ["stopped", "ended"], ended.text
