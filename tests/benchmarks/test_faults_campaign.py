"""The fault campaign: that its counters see what they are there for, and its runs (marked slow)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.faults import links, media
from benchmarks.faults.__main__ import KINDS
from benchmarks.faults.runs import Bench, Build, unbalanced
from benchmarks.faults.tally import BAD, Tally, total

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "b", 1)
    yield made
    made.close()


def program(bench: Bench, text: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", text],
        env=bench.environment({}),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_connections_are_seen_from_within_and_from_without(bench, tmp_path):
    """`stages` in the path of the code makes it a fetch, as it is in a build."""
    folder = tmp_path / "stages"
    folder.mkdir()
    (folder / "fetch.py").write_text(
        "import socket, sys\nfor place in sys.argv[1:]:\n    host, port = place.split(',')\n"
        "    try:\n        socket.create_connection((host, int(port)), 2).close()\n"
        "    except OSError:\n        pass\n"
    )
    with (
        bench.connections.listener("127.0.0.1") as allowed,
        bench.connections.listener("127.0.0.2") as stranger,
    ):
        bench.connections.allowed.add(("127.0.0.1", allowed))
        subprocess.run(
            [
                sys.executable,
                str(folder / "fetch.py"),
                f"127.0.0.1,{allowed}",
                f"127.0.0.2,{stranger}",
                "127.0.0.1,9",
            ],
            env=bench.environment({}),
            check=True,
            timeout=60,
        )
        assert bench.connections.num_seen() == 3
        deadline = time.monotonic() + 10
        wrong = []
        while len(wrong) < 4 and time.monotonic() < deadline:
            wrong += bench.connections.wrong()
            time.sleep(0.05)
    assert sorted(wrong) == sorted(
        [
            f"127.0.0.1 port {allowed}: somebody came",
            f"127.0.0.2 port {stranger}: somebody came",
            f"127.0.0.2 port {stranger}: 1 times",
            "127.0.0.1 port 9: 1 times",
        ]
    )


def test_what_lives_on_and_what_is_left_is_seen(bench, monkeypatch):
    monkeypatch.setattr("benchmarks.faults.runs.GONE_S", 0.5)
    tally = Tally("x")
    late = program(bench, "import time; time.sleep(100)")
    deadline = time.monotonic() + 30
    while not bench.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    bench.check_processes(tally, "run")
    assert late.wait(10) == -9 and len(tally.leftovers) == 1
    (bench.temporary / "yld-run-abc").mkdir()
    victim = next(p for p in bench.temporary.rglob("*") if p.is_file())
    victim.write_bytes(b"other")
    out = bench.folder / "corpus"
    (out / "work").mkdir(parents=True)
    (out / "work" / ".a.0123456789abcdef-1.tmp").write_text("half")
    (out / "work" / "status.json").write_text(
        json.dumps(
            [
                {
                    "stage": "expand",
                    "inputs": 3,
                    "accepted": 1,
                    "rejected": 1,
                    "failed": 0,
                    "pending": 0,
                    "outputs": 1,
                }
            ]
        )
    )
    bench.check_after(tally, "run", out, 4)
    row = tally.row()
    assert (row["leftovers"], row["foreign_changed"], row["bad_sums"]) == (3, 1, 2)


def test_sums():
    row = {"stage": "a", "inputs": 4, "accepted": 2, "rejected": 1, "failed": 1, "pending": 0}
    assert unbalanced([row], 4) == []
    assert len(unbalanced([{**row, "failed": 0, "pending": 1}], 4)) == 1
    assert len(unbalanced([row], 5)) == len(unbalanced([], 1)) == 1


def test_a_hang_a_crash_and_a_traceback_are_told_apart(bench):
    tally = Tally("x")
    for name, text, limit_s in (
        ("hang", "import time; time.sleep(100)", 1.0),
        ("code", "raise SystemExit(77)", 60.0),
        ("traceback", "raise KeyError('x')", 60.0),
        ("stopped", "raise SystemExit(3)", 60.0),
    ):
        log = open(bench.folder / "told.txt", "w+")  # noqa: SIM115 - closed by `end`
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        Build(bench, process, log).end(tally, name, limit_s)
    assert [t.partition(":")[0] for t in tally.hangs] == ["hang"]
    assert [t.partition(":")[0] for t in tally.crashes] == ["code", "traceback"]


def test_bytes_are_compared_and_added_up():
    one, two = Tally("one", cases=2), Tally("two", cases=1)
    one.compare("a", "s", "s")
    assert one.is_clean
    one.compare("b", None, "s")
    two.hangs.append("it hung")
    assert not one.is_clean and not two.is_clean
    row = total([one, two])
    assert (row["cases"], row["resumed"], row["same"], row["hangs"]) == (3, 2, 1, 1)


def test_no_corpus_twice_is_not_the_same_corpus():
    tally = Tally("x")
    tally.compare("a", None, None)
    assert (tally.resumed, tally.same, tally.is_clean) == (1, 0, False)


def test_kinds_of_links_and_mutations():
    assert len(links.BAD) == 24 and sum(links.DEAD.values()) == 300
    kinds = links._kinds(10000, random.Random(1))
    share = sum(k in links.DEAD for k in kinds) / len(kinds)
    assert abs(share - 0.3) < 0.02 and set(kinds) == {*links.DEAD, *links.BAD, "good"}
    assert "good" in links._kinds(5, random.Random(1))
    content, rng = random.Random(2).randbytes(50_000), random.Random(3)
    made = [media.mutated(content, rng) for _ in range(200)]
    assert {how for _, how in made} == {
        "flips",
        "cut",
        "swap",
        "head",
        "zeros",
        "doubled",
        "hole",
        "tail",
    }
    assert sum(m != content for m, _ in made) > 190


def campaign(*words: str, timeout_s: float) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--json", "--seed", "7", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_command_without_any_fault():
    none = [
        f"--{n}=0"
        for n in ("kills", "suspensions", "nodes", "mutations", "links", "stores", "disks")
    ]
    found = campaign(*none, timeout_s=60)
    assert len(found["rows"]) == len(KINDS) + 1
    assert all(row["cases"] == 0 for row in found["rows"])


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize(
    ("words", "least"),
    [
        (("--only", "kills", "--kills", "20", "--suspensions", "2", "--suspend-s", "20"), 20),
        (("--only", "media", "--mutations", "200"), 200),
        (("--only", "links", "--links", "500"), 500),
        (("--only", "nodes,store,disk"), 4),
    ],
)
def test_nothing_comes_of_faults(words, least):
    found = campaign(*words, timeout_s=5300)
    whole = found["rows"][-1]
    assert whole["cases"] >= least
    assert whole["same"] == whole["resumed"], found["notes"]
    assert {n: whole[n] for n in BAD} == dict.fromkeys(BAD, 0), found["found"]
