"""Pictures come in the order and at the times that players give them, whatever a file stores."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests.media.pictures import _decode, iter_pictures
from manifests.media.times import BestEffort
from manifests.media.video import open_video
from stages.sources.download.site import ffmpeg_path
from tests.regressions.media_helpers import (
    events_heard_s,
    events_seen_s,
    ffmpeg,
    num_pictures,
    patched_ts,
)
from tests.synthetic import EventFile, constant_pts_s, write_events

H264 = ("-c:v", "libx264", "-preset", "veryfast")
FILES = {
    "b.avi": (*H264, "-bf", "3", "-c:a", "pcm_s16le"),
    "mp3.avi": (*H264, "-bf", "3", "-c:a", "libmp3lame"),
    "no-b.avi": (*H264, "-bf", "0", "-c:a", "pcm_s16le"),
    "b.asf": (*H264, "-bf", "3", "-c:a", "wmav2"),
    "no-b.asf": (*H264, "-bf", "0", "-c:a", "wmav2"),
    "asp.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "a.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "b.flv": (*H264, "-bf", "3", "-c:a", "aac"),
    "b.mkv": (*H264, "-bf", "3", "-c:a", "aac"),
    "b.mp4": (*H264, "-bf", "3", "-c:a", "aac"),
    "ps.mpg": ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
}


def shown_by_ffmpeg_us(path: Path) -> list[int]:
    text = subprocess.run(
        [
            ffmpeg_path(),
            "-hide_banner",
            "-copyts",
            "-i",
            str(path),
            "-an",
            "-fps_mode",
            "passthrough",
            "-vf",
            "showinfo",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    ).stderr
    return [round(float(t) * 1e6) for t in re.findall(r" pts_time:\s*([-\d.]+)", text)]


@pytest.mark.parametrize("name", FILES)
def test_times_are_those_of_ffmpeg(tmp_path, name):
    path = tmp_path / name
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=160x96:rate=25:duration=2",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=2",
        *FILES[name],
        str(path),
    )
    video = open_video(path)
    ours = [time for time, _ in _decode(video, path, None)]
    theirs = shown_by_ffmpeg_us(path)
    assert len(ours) == len(theirs) == 50
    assert np.abs(np.subtract(ours, theirs)).max() <= 1000
    # What the probe counted is what the decoder gives.
    assert video.zero_us == ours[0] and num_pictures(video) == 50
    assert abs(ours[-1] + 40_000 - ours[0] - video.duration_us) <= 1000
    assert [k for k, _ in iter_pictures(video)] == list(range(video.num_frames))


@pytest.mark.parametrize("bf", [0, 3])
def test_avi_shows_every_picture_as_late_as_its_decoder_does(tmp_path, bf):
    times = [0.5103 + 0.31 * i for i in range(17)]
    path = write_events(
        tmp_path / "a.avi",
        EventFile(
            constant_pts_s(Fraction(25), 6),
            times,
            container="avi",
            audio_codec="pcm_s16le",
            video_options={"preset": "veryfast", "bf": str(bf)},
        ),
    )
    video = open_video(path)
    seen, heard = events_seen_s(video), events_heard_s(video)
    assert len(seen) == len(heard) == 17
    lag_ms = 1000 * (seen - heard)
    # Sound begins with the file, pictures after the decoder's delay of `bf` pictures and less.
    assert video.time_source == "dts" and num_pictures(video) == 150
    late_ms = video.zero_us / 1000
    assert late_ms == (0 if bf == 0 else 80)
    # On the canonical clock, whose zero is the first picture, that is out again.
    assert lag_ms.min() >= -5 and np.ptp(lag_ms) <= 40
    assert abs(lag_ms.mean() - 20) <= 12 + late_ms


@pytest.mark.parametrize("options", [{}, {"video_options": {"preset": "veryfast"}}], ids=str)
def test_a_picture_that_cannot_be_shown_is_told(tmp_path, options):
    whole = write_events(
        tmp_path / "a.ts",
        EventFile(
            constant_pts_s(Fraction(25), 4),
            [0.5 + 0.31 * i for i in range(11)],
            sample_rate=48000,
            container="mpegts",
            **options,
        ),
    )
    path = patched_ts(
        whole,
        tmp_path / "b.ts",
        lambda kind, number, ticks, is_pts: (
            ticks + 3600 if kind == "video" and number == 30 and is_pts else None
        ),
    )
    video = open_video(path)
    assert (num_pictures(video), video.num_frames, video.time_source) == (99, 100, "best_effort")
    assert len(events_seen_s(video)) == len(events_heard_s(video)) == 11
    assert [note.partition(":")[0] for note in video.notes] == ["late_pictures"]


def test_the_rule_is_libavcodecs():
    choose = BestEffort(40)
    # Presentation times fall behind once: from then on decoding times, as long as they are better.
    stamps = [(1, 2), (4, 3), (3, 4), (5, 5), (2, 6), (8, 7), (None, None)]
    assert [choose(*stamp) for stamp in stamps] == [1, 4, 4, 5, 6, 7, 47]
    both = BestEffort(40)
    assert [both(*s) for s in [(0, 0), (40, 40), (40, 40), (80, 80)]] == [0, 40, 40, 80]
    assert BestEffort(40)(None, None) is None
