"""Pictures that no canonical frame shows are not decoded, and nobody sees a difference."""

from __future__ import annotations

import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from manifests.clock import Clock, nearest_indices
from manifests.media import pictures
from manifests.media.needed import Needed, can_leave_out
from manifests.media.pictures import decoded_seconds, in_runs, iter_frames, iter_pictures
from manifests.media.times import decoded_of
from manifests.media.video import open_video
from stages.sources.download.site import ffmpeg_path

US = Fraction(1, 1_000_000)


def packet(time_us: int | None, dts_us: int | None = 0) -> SimpleNamespace:
    return SimpleNamespace(pts=time_us, dts=dts_us, time_base=US)


def left_out(times_us: list[int | None], needed: Needed) -> set[int]:
    judged = needed.judged(iter([packet(t) for t in times_us]))
    return {one.pts for one, is_needed in judged if not is_needed}


@pytest.mark.parametrize("seed", range(40))
def test_what_the_clock_shows_is_never_left_out(seed):
    """Any rate, jitter, order and doubled stamps; the slow reference picks what is shown."""
    draw = random.Random(seed)
    gap = draw.choice([16_667, 20_000, 33_333, 40_000, 41_667, 5_000])
    zero = draw.choice([0, 1_234_567, -80_000])
    times = [zero + i * gap + draw.randrange(-gap // 3, gap // 3 + 1) for i in range(150)]
    times = sorted(times if seed % 2 else [*times, *times[::7]])
    reach = draw.choice([0, 2, 6])
    order = sorted(range(len(times)), key=lambda i: i + draw.uniform(0, reach))
    clock = Clock(times[0])
    gone = left_out([times[i] for i in order], Needed(clock))
    distinct = sorted(set(times))
    picks = nearest_indices(distinct, clock, clock.num_frames(distinct[-1] + gap))
    shown = {distinct[i] for i in picks}
    assert not gone & shown
    if gap < 20_000:
        assert len(gone) > 0.9 * len(set(distinct) - shown), "what is not shown is found"


def test_what_comes_before_the_first_one_wanted_is_left_out_and_what_has_no_time_is_not():
    times = [0, None, 40_000, 80_000, 120_000]
    assert left_out(times, Needed(Clock(0), start_frame=2)) == {0, 40_000}


def test_a_picture_that_is_held_is_needed_however_long_before():
    assert left_out([0, 1_000_000, 4_000_000], Needed(Clock(0), start_frame=60)) == {0}
    assert left_out([0, 1_000_000, 4_000_000], Needed(Clock(0), start_frame=63)) == {0, 1_000_000}


def test_nothing_is_left_out_without_a_decoding_time_or_after_damage():
    times = [0, 5_000, 10_000, 40_000, 80_000]
    assert left_out(times, Needed(Clock(0))) == {5_000, 10_000}
    unknown = Needed(Clock(0)).judged(packet(t, None) for t in times)
    assert all(is_needed for _, is_needed in unknown)
    needed = Needed(Clock(0))
    needed.stop()
    assert not left_out(times, needed)


def test_packets_before_a_damaged_place_still_come():
    def broken():
        yield packet(0)
        yield packet(40_000)
        raise av.error.InvalidDataError(1, "damaged")

    seen = []
    with pytest.raises(av.FFmpegError):
        for one, is_needed in Needed(Clock(0)).judged(broken()):
            seen.append((one.pts, is_needed))
    assert seen == [(0, True), (40_000, True)]


@pytest.mark.parametrize(
    ("container", "codec", "can"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", True),
        ("matroska,webm", "hevc", True),
        ("mov,mp4,m4a,3gp,3g2,mj2", "libdav1d", False),
        ("avi", "mpeg4", False),  # DivX: two pictures in a packet
        ("avi", "h264", False),
        ("mpegts", "h264", False),
    ],
)
def test_files_of_which_pictures_may_be_left_out(container, codec, can):
    assert can_leave_out(container, codec) is can


def test_a_decoder_that_is_broken_off_says_so():
    class Broken:
        codec_context = SimpleNamespace(skip_frame="DEFAULT")

    def decode():
        raise av.error.InvalidDataError(1, "damaged")

    told = []
    packets = iter([(SimpleNamespace(decode=decode), True)])
    assert list(decoded_of(Broken(), packets, lambda: told.append(1))) == []
    assert told == [1]


AV1 = """
import sys
from fractions import Fraction
import av, numpy as np
path, rate = sys.argv[1], int(sys.argv[2])
with av.open(path, "w") as out:
    stream = out.add_stream("libsvtav1", rate=rate, options=dict(preset="9", crf="30", g="100"))
    stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
    y, x = np.mgrid[:128, :128]
    sound = out.add_stream("aac", rate=16000, layout="mono")
    for k in range(4 * rate):
        picture = np.full((192, 128), 128, np.uint8)
        picture[:128] = 120 + 90 * np.sin((x + 3 * k) / 7) * np.cos((y + 2 * k) / 9)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = k, Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    for start in range(0, 4 * 16000, 1024):
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        heard.sample_rate, heard.pts = 16000, start
        out.mux(sound.encode(heard))
    out.mux(sound.encode(None))
"""
"""In a process of its own: SVT-AV1 gives the thread that calls it real-time priority for good where
it may, and what that process starts afterwards has it too."""


@pytest.mark.parametrize("rate", [25, 30])
def test_av1_from_the_middle_has_every_picture(rate, tmp_path):
    """dav1d keeps to the setting that it was opened with: every other picture was missing."""
    path = tmp_path / "a.mp4"
    subprocess.run([sys.executable, "-c", AV1, str(path), str(rate)], check=True)
    video = open_video(path)
    whole = [rgb for _, rgb in iter_frames(video, path)]
    middle = [rgb for _, rgb in iter_frames(video, path, 60, 90)]
    assert all(np.array_equal(a, b) for a, b in zip(middle, whole[60:90], strict=True))


def encoded(path: Path, rate: int, *codec: str) -> Path:
    source = f"testsrc2=size=160x96:rate={rate}:duration=8"
    inputs = ("-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=duration=8")
    subprocess.run(
        [ffmpeg_path(), "-loglevel", "error", "-y", *inputs, "-pix_fmt", "yuv420p", *codec, path],
        check=True,
    )
    return path


@pytest.mark.parametrize(
    ("name", "codec", "least_share"),
    [
        ("a.mp4", ("-c:v", "libx264", "-bf", "3", "-b_strategy", "0"), 0.25),
        ("b.mkv", ("-c:v", "libx264", "-x264-params", "bframes=3:b-pyramid=none:b-adapt=0"), 0.35),
        ("c.mp4", ("-c:v", "libx265", "-x265-params", "log-level=error:bframes=4"), 0.2),
        ("d.mkv", ("-c:v", "mpeg2video", "-bf", "2"), 0.25),
        ("e.ts", ("-c:v", "mpeg2video", "-bf", "2"), -0.1),  # nothing: its packets' times are few
    ],
)
def test_the_same_pictures_from_fewer_decodes(name, codec, least_share, tmp_path):
    path = encoded(tmp_path / name, 60, *codec)
    video = open_video(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        frames = list(container.decode(stream))
    times = [round(frame.pts * frame.time_base / US) for frame in frames]
    picks = nearest_indices(times, Clock(video.zero_us), video.num_frames)
    before = decoded_seconds()
    seen = [picture.rgb() for _, picture in iter_pictures(video, path)]
    spent_s = decoded_seconds() - before
    assert len(seen) == video.num_frames
    converters: dict = {}
    for pick, rgb in zip(picks, seen, strict=True):
        whole = pictures.Picture(frames[pick], converters, video).rgb()
        assert np.array_equal(rgb, whole)
    assert spent_s < (1 - least_share) * 8
    middle = [rgb for _, rgb in iter_frames(video, path, 40, 60)]
    assert all(np.array_equal(a, b) for a, b in zip(middle, seen[40:60], strict=True))


@pytest.mark.parametrize("name", ["slow.mp4", "slow.mkv"])
def test_a_slide_of_a_second_is_shown_from_its_middle_too(name, tmp_path):
    path = encoded(tmp_path / name, 1, "-c:v", "libx264", "-bf", "3", "-b_strategy", "0")
    video = open_video(path)
    whole = [rgb for _, rgb in iter_frames(video, path)]
    for start in range(0, video.num_frames, 7):
        ((_, rgb),) = iter_frames(video, path, start, start + 1)
        assert np.array_equal(rgb, whole[start]), start


def test_pictures_in_runs_are_the_same_and_wait_in_bounded_memory(tmp_path, monkeypatch):
    video = open_video(encoded(tmp_path / "a.mp4", 25, "-c:v", "libx264"))
    one_by_one = [(k, p.rgb()) for k, p in iter_pictures(video)]
    monkeypatch.setattr(pictures, "RUN_BYTES", 3 * 160 * 96 * 3 // 2)
    coming = iter_pictures(video)
    asked = 0

    def counted():
        nonlocal asked
        for item in coming:
            asked += 1
            yield item

    for seen, ((k, rgb), (number, picture)) in enumerate(
        zip(one_by_one, in_runs(counted(), video), strict=True)
    ):
        assert k == number and np.array_equal(rgb, picture.rgb())
        assert asked - seen <= 3
