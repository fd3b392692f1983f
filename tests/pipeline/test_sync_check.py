"""The flash-and-beep test tells good paths from bad ones, with the machine's own ffmpeg."""

from __future__ import annotations

import numpy as np

from pipeline.machine import sync_check


def test_our_clock_is_in_sync_and_a_wrong_reading_is_not():
    rows = sync_check.check()
    ours = [r for r in rows if r["path"] == sync_check.OURS]
    assert len(ours) == len(sync_check.SOURCES)
    assert all(r["verdict"] == "in sync" for r in ours), ours
    late = [r for r in rows if "0.4 s late" in r["source"] and "index" in r["path"]]
    assert late[0]["verdict"] != "in sync", "who ignores timestamps is off by the late start"


def test_a_tool_that_crashes_costs_its_rows(monkeypatch):
    def crash(path, folder):
        raise RuntimeError("ffmpeg ended with -11: ")

    monkeypatch.setattr(sync_check, "SOURCES", sync_check.SOURCES[:1])
    monkeypatch.setitem(sync_check.PATHS, "shell recipe: -r 25, AVI, WAV", crash)
    rows = sync_check.check()
    assert [r["bias_ms"] is None for r in rows] == [False, True, False]
    assert "-11" in rows[1]["verdict"]


def test_a_shifted_path_shows_its_shift():
    times = sync_check.event_times_s()
    flashes = np.ceil(times * 25 - 1e-9) / 25
    assert sync_check._row("s", "p", flashes, times)["bias_ms"] == 0
    assert sync_check._row("s", "p", flashes + 0.08, times)["bias_ms"] == 80
    assert sync_check._row("s", "p", flashes[:5], times[:5])["bias_ms"] is None
