"""Kinds of fault: leftovers. What a run was writing, started or put aside goes, and nothing else.

Whatever ends a run (kill -9 of any of its processes included), its processes are gone soon after,
and its half-written files at the start of the next run at the latest. No file goes for its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from manifests.files import atomic_path, record_temporaries, sweep_temporaries
from pipeline.run import scratch
from pipeline.storage.lock import RECORDS, CorpusLock
from pipeline.storage.own_folder import MARK, claim

ROOT = Path(__file__).resolve().parents[2]


def program(text: str, *words: str, temporary: Path | None = None, **options) -> subprocess.Popen:
    more = {"TMPDIR": str(temporary)} if temporary else {}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *words],
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        **options,
    )


def gone_within(pids: list[int], seconds: float) -> bool:
    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + seconds
    while any(map(lives, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def killed_while_writing(work: Path, *names: str) -> list[Path]:
    """A process that holds the corpus at `work` is killed inside `atomic_path` of `names`."""
    writer = program(
        """
        import contextlib, os, signal, sys
        from pathlib import Path
        from manifests.files import atomic_path
        from pipeline.storage.lock import CorpusLock
        with CorpusLock(Path(sys.argv[1])), contextlib.ExitStack() as stack:
            for name in sys.argv[2:]:
                path = stack.enter_context(atomic_path(name))
                path.write_text("half")
                print(path, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(work),
        *names,
    )
    made = [Path(line) for line in writer.communicate(timeout=60)[0].splitlines()]
    assert writer.returncode == -signal.SIGKILL
    assert len(made) == len(names) and all(p.exists() for p in made)
    return made


def test_half_written_files_go_when_the_next_run_starts(tmp_path):
    root = tmp_path / "corpus"
    work = root / "work"
    made = killed_while_writing(
        work,
        str(root / "report.html"),
        str(work / "ledger/a/b.json"),
        str(root / "shards" / "train" / ("ü" * 100 + ".tar")),
    )
    token = made[0].name.rsplit(".", 2)[1].partition("-")[0]
    strangers = {  # by name they could all be ours; no record of ours has their names
        root / f".mine.{token}-99.tmp": "noted nowhere",
        root / ".report.html.0123456789abcdef-1.tmp": "of nobody",
        root / ".report.html.k3j2h1g0.tmp": "x",
        work / "notes.tmp": "y",
        work / RECORDS / "mine.txt": "z",
        work / RECORDS / "long.writing": "../../keep",
    }
    for path, text in strangers.items():
        path.write_text(text)
    (root / "keep").write_text("kept")
    with CorpusLock(work):
        assert not any(p.exists() for p in made)
    assert {p: p.read_text() for p in strangers} == strangers
    assert (root / "keep").read_text() == "kept"


def test_a_folder_whose_mark_was_half_written_is_still_free(tmp_path):
    root = tmp_path / "corpus"
    program(f"""
        import os, signal
        from pathlib import Path
        from manifests import files
        files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        from pipeline.storage.own_folder import claim
        claim(Path({str(root)!r}), "corpus")
        """).wait(60)
    assert list(root.glob(".*.tmp"))
    claim(root, "corpus")
    assert [p.name for p in root.iterdir()] == [MARK]


def test_a_record_cannot_name_what_its_process_did_not_write(tmp_path):
    made = killed_while_writing(tmp_path / "work", str(tmp_path / "a"))
    record = next((tmp_path / "work" / RECORDS).glob("*.writing"))
    token = record.name.removesuffix(".writing")
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    link = tmp_path / f".x.{token}-7.tmp"
    link.symlink_to(outside)
    record.write_bytes(record.read_bytes() + b"../../outside.txt\0" + f"../../{link.name}".encode())
    assert sweep_temporaries(record.parent) == 1 and not made[0].exists()
    assert outside.read_text() == "kept" and link.is_symlink()


def test_a_living_writer_keeps_its_file_and_a_finished_run_leaves_no_record(tmp_path):
    with CorpusLock(tmp_path / "work"), atomic_path(tmp_path / "a") as temporary:
        assert sweep_temporaries(tmp_path / "work" / RECORDS) == 0
        temporary.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"
    assert not (tmp_path / "work" / RECORDS).exists()
    record_temporaries(None)


def test_scratch_folders_of_dead_runs_go_and_no_others(tmp_path):
    maker = program(
        """
        import os, signal, sys
        from pathlib import Path
        from pipeline.run.scratch import Scratch
        print(Scratch(Path(sys.argv[1])).path, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(tmp_path),
    )
    dead = Path(maker.communicate(timeout=60)[0].strip())
    living = scratch.Scratch(tmp_path)  # sweeps as it begins
    assert not dead.exists()
    foreign, other = tmp_path / "yld-run-mine", tmp_path / "yld-run-with-owner"
    for folder in (foreign, other):
        folder.mkdir()
        (folder / "film.mp4").write_text("mine")
    (other / "owner").write_text("Alice\n")
    (tmp_path / "yld-run-link").symlink_to(foreign)
    assert scratch.sweep(tmp_path) == 0 and living.path.exists()
    living.remove()
    assert {p.name for p in tmp_path.iterdir()} == {foreign.name, other.name, "yld-run-link"}


BELOW_SUPERVISOR = """
    import os, signal, subprocess, sys, tempfile, time
    from pipeline.run import supervisor
    def command():
        away = subprocess.Popen(["sleep", "300"], start_new_session=True)
        near = subprocess.Popen(["sleep", "300"])
        tempfile.mkdtemp()
        print(os.getppid(), os.getpid(), away.pid, near.pid, flush=True)
        {then}
    supervisor.run(command)
    """


@pytest.mark.parametrize("whom", ["supervisor", "driver", "group"])
def test_nothing_lives_after_kill_9(tmp_path, whom):
    run = program(
        BELOW_SUPERVISOR.format(then="time.sleep(300)"),
        temporary=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    pids = [int(word) for word in run.stdout.readline().split()]
    supervisor, driver = pids[:2]
    assert run.pid == supervisor and len(list(tmp_path.glob("yld-run-*/tmp/*"))) == 1
    guard = [p.pid for p in psutil.Process(supervisor).children() if p.pid != driver]
    if whom == "group":
        os.killpg(supervisor, signal.SIGKILL)
    else:
        os.kill(supervisor if whom == "supervisor" else driver, signal.SIGKILL)
    _, told = run.communicate(timeout=30)
    assert gone_within([*pids[1:], *guard], 10)
    assert list(tmp_path.iterdir()) == []
    if whom == "driver":
        assert run.returncode == 3 and "the run was killed" in told


@pytest.mark.parametrize(("then", "code"), [("sys.exit(4)", 4), ("pass", 0)])
def test_what_a_command_leaves_behind_ends_with_it(tmp_path, then, code):
    run = program(BELOW_SUPERVISOR.format(then=then), temporary=tmp_path)
    out, _ = run.communicate(timeout=30)
    assert run.returncode == code and gone_within([int(w) for w in out.split()[1:]], 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("whom", ["driver", "parent"])
def test_a_worker_and_what_it_started_leave_with_the_driver_and_with_its_ray(whom):
    """The worker's parent stands for the node's Ray, whose child it is."""
    owner = program("import time; time.sleep(300)")
    parent = program(
        """
        import subprocess, sys, time
        worker = subprocess.Popen([sys.executable, "-c", '''
        import subprocess, sys, time
        from pipeline.run.processes import Owner, _machine, identity, leave_with
        leave_with(Owner(_machine(), *identity(int(sys.argv[1]))))
        child = subprocess.Popen(["sleep", "300"])
        print(child.pid, flush=True)
        time.sleep(300)
        '''.replace("\\n        ", "\\n"), sys.argv[1]])
        print(worker.pid, flush=True)
        time.sleep(300)
        """,
        str(owner.pid),
    )
    try:
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        child = max(pids)
        (owner if whom == "driver" else parent).kill()
        owner.wait(10) if whom == "driver" else parent.wait(10)
        assert gone_within([p for p in pids if p != child or whom == "driver"], 10)
    finally:
        for process in (owner, parent):
            process.kill()
            process.wait()
        for pid in pids:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
