"""What a run tells while it works: counts, the time that is left, never wider than it may be."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from manifests.records import Request
from pipeline.run.progress import Progress, about, clock
from pipeline.run.tally import AtWork, Tally

STAGES = ["download", "tracks", "clips"]


def ended(tally: Tally, stage: str, unit: str, now_s: float, wall_s: float, **more) -> None:
    tally.ended(stage, unit, now_s, wall_s=wall_s, **({"is_reused": False} | more))


def test_what_is_left_weighs_stages_by_their_cost():
    """Ten videos, one worker: 1 s of tracks, 9 s of clips each."""
    tally = Tally(STAGES, 10)
    for number in range(10):
        tally.queued("download")
        ended(tally, "download", f"v{number}", 0.0, 0.1)
        tally.queued("tracks")
    assert tally.left_s(0.0) is None, "nothing is known of what costs most"
    now_s = 0.0
    for number in range(5):
        for stage, cost_s in (("tracks", 1.0), ("clips", 9.0)):
            if stage == "clips":
                tally.queued("clips")
            tally.started(stage, f"v{number}", now_s)
            now_s += cost_s
            ended(tally, stage, f"v{number}", now_s, cost_s)
    assert tally.left_s(now_s) == pytest.approx(50, abs=4)


def test_work_in_hand_and_waits_count():
    """Two workers halve what is left; a run that waited as long as it worked will go on so."""
    tally = Tally(["tracks"], 4)
    for _ in range(4):
        tally.queued("tracks")
    for number in range(2):
        tally.started("tracks", f"v{number}", 0.0)
        ended(tally, "tracks", f"v{number}", 10.0, 10.0)
    assert tally.left_s(10.0) == pytest.approx(10)
    assert tally.left_s(20.0) == pytest.approx(20)
    tally.started("tracks", "v2", 20.0)
    assert tally.left_s(25.0) < 20


def test_the_start_of_the_first_worker_is_no_measure_of_the_pace():
    """Four videos of 2 s; the worker took 20 s to start."""
    tally = Tally(["tracks"], 4)
    for _ in range(4):
        tally.queued("tracks")
    tally.started("tracks", "v0", 0.0)
    ended(tally, "tracks", "v0", 22.0, 2.0)
    assert tally.left_s(22.0) == pytest.approx(6)


def test_reused_work_is_no_measure_of_the_pace():
    tally = Tally(["tracks"], 101)
    for number in range(100):
        ended(tally, "tracks", f"v{number}", 0.0, 10.0, is_reused=True)
    tally.queued("tracks")
    tally.started("tracks", "v100", 0.0)
    assert tally.left_s(5.0) == pytest.approx(5, abs=1)
    assert tally.per_minute("tracks", 5.0) == 0


def test_units_that_fall_out_are_not_waited_for():
    tally = Tally(["tracks", "clips"], 10)
    for number in range(10):
        tally.queued("tracks")
        tally.started("tracks", f"v{number}", 0.0)
        ended(tally, "tracks", f"v{number}", 10.0, 1.0)
    assert tally.left_s(10.0) == 0


@dataclass
class Entry:
    unit: str
    wall_s: float = 1.0
    outputs: list = field(default_factory=list)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NODE = SimpleNamespace(name="tracks")
UNIT = SimpleNamespace(
    name="r1",
    attempts=1,
    records=[Request("r1", "/films/a very long name of an interview with someone.mp4", "file", "")],
)


def shown(stream, monkeypatch, columns: int = 80, work=()) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with Progress(3, ["tracks"], lambda: work, stream) as progress:
        progress.observe("queued", NODE, UNIT)
        progress.observe("started", NODE, UNIT)
        progress.observe("parked", NODE, UNIT)
        if progress._live is not None:
            progress._live.refresh()
        progress.observe("finished", NODE, Entry("r1"))
    return stream.getvalue()


def test_without_a_terminal_lines_are_plain(monkeypatch):
    text = shown(io.StringIO(), monkeypatch)
    assert "\x1b" not in text and "\r" not in text
    assert text.splitlines()[-1].endswith("tracks 1/1")
    assert "a very long name of an inte… waits, its host asked for a rest" in text


@pytest.mark.parametrize("columns", [80, 40])
def test_no_line_is_wider_than_the_terminal(monkeypatch, columns):
    import re

    work = [AtWork("tracks", "r1", 75.0, False, 42.0, 190.0), AtWork("clips", "r1", 0, True)] * 5
    text = shown(Terminal(), monkeypatch, columns, work)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", text)]
    drawn = [line for line in lines if "waits" not in line]
    assert max(map(len, drawn)) <= columns
    assert "\x1b[?25h" in text, "the cursor is shown while it draws"
    if columns == 80:
        assert "tracks a very long name of an inte…, 1:15, at 0:42 of 3:10" in text
        assert "a worker starts, for clips" in text and "and 4 more at work" in text


def test_times_are_told_as_people_tell_them():
    assert [clock(s) for s in (5, 65, 3700)] == ["0:05", "1:05", "1:01:40"]
    assert [about(s) for s in (2, 38, 80, 600, 9000)] == ["5 s", "40 s", "1 min", "10 min", "2.5 h"]
