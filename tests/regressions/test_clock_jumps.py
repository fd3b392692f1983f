"""A clock that jumps, starts again, or has stamps that stand alone: no picture and no sound is
lost unsaid, nothing is held for longer than 10 s without a witness, and both stay in sync."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests.media.facts import MediaError, read_facts
from manifests.media.jumps import steps
from manifests.media.pictures import iter_pictures
from manifests.media.video import open_video
from pipeline.graph import NODES
from pipeline.run.unit import Unit
from tests.regressions.media_helpers import (
    events_heard_s,
    events_seen_s,
    num_pictures,
    patched_ts,
    restamped,
)
from tests.synthetic import EventFile, constant_pts_s, write_events

B_FRAMES = {"preset": "veryfast"}
KINDS = {
    "ts": dict(container="mpegts", video_options=B_FRAMES),
    "mpg": dict(
        container="mpeg", video_codec="mpeg1video", audio_codec="mp2", video_options={"bf": "2"}
    ),
    "mkv": dict(container="matroska", video_options=B_FRAMES),
}
HOUR = 3600


def part(path: Path, start_s: float = 0.0, duration_s: float = 4.0, **options) -> tuple[Path, int]:
    """A file whose clock begins at `start_s`, and the number of its events."""
    times = [start_s + 0.41 + 0.37 * i + 0.013 * (i % 3) for i in range(int(duration_s / 0.38) - 2)]
    return write_events(
        path,
        EventFile(
            constant_pts_s(Fraction(25), duration_s, start_s),
            times,
            start_s,
            sample_rate=48000,
            **options,
        ),
    ), len(times)


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    return path


def check(path: Path, num_events: int, num_frames: int, word: str | None = "clock_jump") -> None:
    """All pictures and events are there, in sync, and the jump is told."""
    video = open_video(path)
    seen, heard = events_seen_s(video), events_heard_s(video)
    assert len(seen) == len(heard) == num_events
    lag_ms = 1000 * (seen - heard)
    assert lag_ms.min() >= -15 and lag_ms.max() <= 55, "in sync in every part"
    assert num_pictures(video) == num_frames <= video.num_frames <= num_frames + 3
    assert [k for k, _ in iter_pictures(video)] == list(range(video.num_frames))
    assert {note.partition(":")[0] for note in video.notes} == ({word} if word else set())
    start = video.num_frames - 40  # a part is the same as in the whole, also without a seek
    part = [p.luma().tobytes() for _, p in iter_pictures(video, None, start)]
    assert part == [p.luma().tobytes() for k, p in iter_pictures(video) if k >= start]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("starts_s", [(0, 0), (0, 100), (100, 0)], ids=str)
def test_parts_on_their_own_clocks_follow_each_other(tmp_path, kind, starts_s):
    parts = [part(tmp_path / f"{i}.{kind}", s, **KINDS[kind]) for i, s in enumerate(starts_s)]
    path = joined(tmp_path / f"a.{kind}", *(p for p, _ in parts))
    check(path, sum(n for _, n in parts), 200)


def test_three_parts(tmp_path):
    one, count = part(tmp_path / "one.ts", **KINDS["ts"])
    check(joined(tmp_path / "a.ts", one, one, one), 3 * count, 300)


@pytest.mark.parametrize("jump_s", [30, 10 * HOUR])
@pytest.mark.parametrize("container", ["mpegts", "matroska", "flv"])
def test_a_jump_of_both_clocks_is_taken_out(tmp_path, container, jump_s):
    whole, count = part(tmp_path / "a.mp4", 0, 6, video_options=B_FRAMES)
    check(
        restamped(
            whole,
            tmp_path / "b",
            container,
            lambda kind, number, name, time: time + (jump_s if time >= 3 else 0),
        ),
        count,
        150,
    )


def test_a_hole_of_some_seconds_is_held(tmp_path):
    whole, count = part(tmp_path / "a.mp4", 0, 6)
    video = open_video(
        restamped(
            whole,
            tmp_path / "b.mkv",
            "matroska",
            lambda kind, number, name, time: time + (8 if time >= 3 else 0),
        )
    )
    assert (video.num_frames, num_pictures(video), video.notes) == (350, 150, [])
    assert len(events_seen_s(video)) == len(events_heard_s(video)) == count


@pytest.mark.parametrize("container", ["mpegts", "matroska", "mp4"])
@pytest.mark.parametrize("picture_s, sound_s", [(30, 0), (0, 30), (HOUR, HOUR - 10)])
def test_a_jump_of_one_clock_alone_is_refused(tmp_path, container, picture_s, sound_s):
    whole, _ = part(tmp_path / "a.mp4", 0, 6)
    path = restamped(
        whole,
        tmp_path / "b",
        container,
        lambda kind, number, name, time: (
            time + (0 if time < 3 else picture_s if kind == "video" else sound_s)
        ),
    )
    with pytest.raises(MediaError) as error:
        read_facts(path)
    assert error.value.reason == "clock_jump"
    assert error.value.measured in (30, HOUR) and "+" in str(error.value)
    assert " s at " in str(error.value)


def test_slides_are_held_while_the_sound_goes_on(tmp_path):
    pts = [Fraction(t) for t in (0, 15, 40, 52, 90, 91)]
    path = write_events(
        tmp_path / "a.mp4",
        EventFile(pts, [20.0, 45.0, 60.0, 90.5], audio_duration_s=92.0, sample_rate=16000),
    )
    video = open_video(path)
    assert 91 * 25 < video.num_frames <= 130 * 25 and video.notes == []
    assert len(events_heard_s(video)) == 4 and num_pictures(video) == 6


@pytest.mark.parametrize("options", [{}, {"video_options": B_FRAMES}], ids=["plain", "B-frames"])
@pytest.mark.parametrize(
    "which, off_s",
    [
        ({70}, HOUR),
        ({70}, 2),
        ({70}, -2),
        ({70}, -HOUR),
        ({70, 71}, HOUR),
        ({30, 70, 100}, HOUR),
        ({0}, HOUR),
        ({149}, HOUR),
    ],
    ids=str,
)
def test_stamps_that_stand_alone_are_mended(tmp_path, which, off_s, options):
    whole, count = part(tmp_path / "a.ts", 0, 6, container="mpegts", **options)
    path = patched_ts(
        whole,
        tmp_path / "b.ts",
        lambda kind, number, ticks, is_pts: (
            ticks + off_s * 90_000 if kind == "video" and number in which else None
        ),
    )
    check(path, count, 150, "odd_stamps")


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_one_stamp_an_hour_late(tmp_path, container):
    whole, count = part(tmp_path / "a.mp4", 0, 6, video_options=B_FRAMES)
    path = restamped(
        whole,
        tmp_path / "b",
        container,
        lambda kind, number, name, time: (
            time + (HOUR if (kind, number, name) == ("video", 70, "pts") else 0)
        ),
    )
    check(path, count, 150, "odd_stamps")


def test_the_wrap_of_a_transport_stream_is_no_jump(tmp_path):
    whole, count = part(tmp_path / "a.ts", 0, 6, **KINDS["ts"])
    path = patched_ts(
        whole, tmp_path / "b.ts", lambda kind, number, ticks, is_pts: ticks + 2**33 - 4 * 90_000
    )
    check(path, count, 150, None)


def test_sound_on_another_clock_is_refused(tmp_path):
    whole, _ = part(tmp_path / "a.mp4", 0, 4)
    path = restamped(
        whole,
        tmp_path / "b.mkv",
        "matroska",
        lambda kind, number, name, time: time + (500 if kind == "audio" else 0),
    )
    with pytest.raises(MediaError, match="different clocks") as error:
        read_facts(path)
    assert error.value.reason == "clock_jump"


def test_what_follows_and_cannot_be_read_is_told(tmp_path):
    one, _ = part(tmp_path / "a.flv", 0, 4, container="flv")
    video = open_video(joined(tmp_path / "b.flv", one, one))
    assert video.num_frames == 100 and video.notes[0].startswith("unread: ")


def test_time_limits_follow_what_was_read(tmp_path):
    whole, _ = part(tmp_path / "a.mp4", 0, 6)
    video = open_video(
        restamped(
            whole,
            tmp_path / "b.mkv",
            "matroska",
            lambda kind, number, name, time: time + (10 * HOUR if time >= 3 else 0),
        )
    )
    assert Unit(NODES["shots"], "v", [video], 0).length_s() == pytest.approx(6, abs=0.1)


def test_steps_of_a_clock():
    period, never = 40_000, lambda before, after: False
    steady = [period * i for i in range(50)]
    assert steps(steady, period, never) == ([], [])
    jumped = steady[:25] + [t + 10**10 for t in steady[25:]]
    found, odd = steps(jumped, period, never)
    assert [(s.index, s.size_us, s.is_jump) for s in found] == [(25, 10**10, True)] and odd == []
    assert steps(jumped, period, lambda before, after: True)[0][0].is_jump is False
    rng = np.random.default_rng(0)
    for _ in range(200):
        times, which = list(steady), rng.integers(1, 49)
        times[which] += int(rng.choice([-1, 1])) * int(rng.integers(200_000, 10**11))
        assert steps(times, period, never) == ([], [which])
