"""The proof of docs/clock.md: no rate, start or container adds a lag."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction

import numpy as np
import pytest

from manifests.clock import SAMPLE_RATE, Clock, nearest_indices
from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from tests.synthetic import (
    EventFile,
    audio_shift_samples,
    beat_s,
    constant_pts_s,
    event_times_s,
    switch_frames,
    tone_bursts,
    write_events,
)

RATES = [
    Fraction(15),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
]
NTSC = Fraction(30000, 1001)
B_FRAMES = {"preset": "veryfast"}
REALTIME = {"deadline": "realtime", "cpu-used": "8"}
MEAN_LIMIT_MS, TREND_LIMIT_MS_PER_MIN = 2.0, 1.0


def rendered_lags_ms(times_s) -> np.ndarray:
    """Lags of the same events drawn directly at 25 fps: on the first frame with k/25 >= u."""
    return np.array([1e3 * (np.ceil(u * 25 - 1e-9) / 25 - u) for u in times_s])


def lags_ms(frames, times_s) -> np.ndarray:
    assert len(frames) == len(times_s), "an event is missing or was seen twice"
    return np.array([1e3 * (k / 25 - u) for k, u in zip(frames, times_s, strict=True)])


def seen_by_rule(pts_s, times_s, rule) -> list[int]:
    """Canonical frame at which each event shows, if `rule` picks the source frames."""
    pts_us = [round(t * 1_000_000) for t in pts_s]
    picks = rule(pts_us, Clock(pts_us[0]), int((pts_us[-1] - pts_us[0]) / 40_000))
    drawn = [bisect_left(pts_us, round(u * 1_000_000)) for u in times_s]
    return [next(k for k, i in enumerate(picks) if i >= d) for d in drawn]


def frame_before(pts_us, clock, num_frames):
    return [max(0, bisect_right(pts_us, clock.time_us(k)) - 1) for k in range(num_frames)]


def frame_after(pts_us, clock, num_frames):
    return [min(len(pts_us) - 1, bisect_left(pts_us, clock.time_us(k))) for k in range(num_frames)]


def vfr_pts_s(cycles: int = 2) -> list[Fraction]:
    """Uneven intervals of 8 to 70 ms that repeat exactly after 25 s."""
    rng, pts, time = np.random.default_rng(3), [], Fraction(0)
    while time < 25:
        pts.append(time)
        time += Fraction(int(rng.integers(8, 71)), 1000)
    cycle = list(pts)
    for n in range(1, cycles + 1):
        pts += [t + 25 * n for t in cycle]
    return [t for t in pts if t < 25 * cycles + 2]


def check_lags(lags, reference, source_period_ms, cycle_s) -> None:
    assert abs(lags.mean() - reference.mean()) <= MEAN_LIMIT_MS
    assert np.abs(lags - 20).max() <= source_period_ms / 2 + 20 + 0.1
    half = len(lags) // 2
    trend = (lags[half:] - lags[:half]).mean() / cycle_s * 60
    assert abs(trend) < TREND_LIMIT_MS_PER_MIN


# The rest of the sweep takes half a minute each on a busy machine: `pytest -m slow`.
@pytest.mark.parametrize(
    "rate",
    [
        rate if rate in (25, NTSC, None) else pytest.param(rate, marks=pytest.mark.slow)
        for rate in [*RATES, None]
    ],
    ids=lambda r: "vfr" if r is None else str(r),
)
def test_no_rate_adds_lag_or_trend(tmp_path, rate):
    if rate is None:
        pts, cycle_s, period_ms = vfr_pts_s(), 25.0, 70
        times = [0.61 + i * 25 / 301 for i in range(602)]
    else:
        cycle_s, times = float(beat_s(rate)), event_times_s(rate)
        pts, period_ms = constant_pts_s(rate, 2 * cycle_s + 1.5), 1000 / float(rate)
    assert len(times) // 2 >= 50
    video = open_video(write_events(tmp_path / "a.mp4", EventFile(pts, times, sample_rate=48000)))
    assert video.is_vfr == (rate is None)
    seen = switch_frames([p.luma()[5, 5] for _, p in iter_pictures(video)])
    lags, reference = lags_ms(seen, times), rendered_lags_ms(times)
    check_lags(lags, reference, period_ms, cycle_s)
    wanted = tone_bursts(times, SAMPLE_RATE, video.num_frames / 25)
    assert abs(audio_shift_samples(read_audio(video), wanted)) <= 1


@pytest.mark.parametrize("rule", [frame_before, frame_after])
@pytest.mark.parametrize("rate", [r for r in RATES if r not in (25, 50)], ids=str)
def test_frame_before_or_after_fails_the_proof(rule, rate):
    times = event_times_s(rate)
    pts = constant_pts_s(rate, 2 * float(beat_s(rate)) + 1.5)
    period_ms, cycle_s = 1000 / float(rate), float(beat_s(rate))
    reference = rendered_lags_ms(times)
    nearest = lags_ms(seen_by_rule(pts, times, nearest_indices), times)
    check_lags(nearest, reference, period_ms, cycle_s)
    wrong = lags_ms(seen_by_rule(pts, times, rule), times)
    with pytest.raises(AssertionError):
        check_lags(wrong, reference, period_ms, cycle_s)


CONTAINERS = {
    "late audio": dict(
        audio_start_s=0.85, sample_rate=44100, container_options={"movie_timescale": "44100"}
    ),
    "late video": dict(video_start_s=0.85, sample_rate=44100),
    "late video, Matroska": dict(video_start_s=0.85, container="matroska", audio_codec="pcm_s16le"),
    "late audio, MOV": dict(
        audio_start_s=0.333,
        container="mov",
        audio_codec="pcm_s16le",
        sample_rate=44100,
        container_options={"movie_timescale": "90000"},
    ),
    "MP4 with edit list": dict(video_options=B_FRAMES, sample_rate=48000),
    "MP4 without edit list": dict(
        video_options=B_FRAMES, sample_rate=48000, container_options={"use_editlist": "0"}
    ),
    "fragmented MP4": dict(
        video_options=B_FRAMES,
        sample_rate=48000,
        container_options={"movflags": "frag_keyframe+empty_moov"},
    ),
    "MPEG-TS": dict(container="mpegts", video_options=B_FRAMES, sample_rate=48000),
    "MPEG-TS, late audio": dict(container="mpegts", sample_rate=48000, audio_start_s=1.3),
    "MPEG-TS, MP3": dict(container="mpegts", audio_codec="libmp3lame", sample_rate=44100),
    "MP4, MP3 priming": dict(audio_codec="libmp3lame", sample_rate=44100),
    "Matroska, MP3": dict(container="matroska", audio_codec="libmp3lame", sample_rate=44100),
    "Matroska, AAC": dict(container="matroska", video_options=B_FRAMES, sample_rate=44100),
    "WebM, VP8, Opus": dict(
        container="webm",
        video_codec="libvpx",
        audio_codec="libopus",
        sample_rate=48000,
        video_options=REALTIME,
    ),
    "Matroska, FLAC 48 kHz": dict(container="matroska", audio_codec="flac", sample_rate=48000),
    "MPEG-PS": dict(
        container="mpeg",
        video_codec="mpeg1video",
        audio_codec="mp2",
        sample_rate=44100,
        video_options={"bf": "2"},
        rate=Fraction(25),
    ),
    "AVI, PCM": dict(
        container="avi",
        video_codec="mpeg4",
        audio_codec="pcm_s16le",
        video_options={"qscale": "2"},
        rate=Fraction(25),
    ),
    "FLV": dict(container="flv", sample_rate=44100, video_options=B_FRAMES),
    "stereo": dict(channels=2, sample_rate=44100),
    "10 bit": dict(pixel_format="yuv420p10le", sample_rate=48000),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_container_adds_lag(tmp_path, name):
    options = dict(CONTAINERS[name])
    rate, start_s = options.pop("rate", NTSC), options.pop("video_start_s", 0.0)
    pts = constant_pts_s(rate, 14.5, start_s)
    # A hair off the container's tick, so that rounding moves no event to another frame.
    times = [1.0103 + start_s + i * 0.2477 for i in range(53)]
    path = write_events(tmp_path / "a", EventFile(pts, times, **options))
    video = open_video(path)
    after_zero = [u - start_s for u in times]
    seen = switch_frames([p.luma()[5, 5] for _, p in iter_pictures(video)])
    expected = seen_by_rule(pts, times, nearest_indices)
    # Millisecond ticks can turn a near tie: one event, by one frame.
    different = np.array(seen) - expected
    assert np.abs(different).max() <= 1 and np.count_nonzero(different) <= 1
    assert abs((lags_ms(seen, after_zero) - rendered_lags_ms(after_zero)).mean()) <= 3.0
    heard = read_audio(video)
    assert len(heard) == video.num_frames * 640
    wanted = tone_bursts(after_zero, SAMPLE_RATE, video.num_frames / 25)
    late = options.get("audio_start_s", 0.0) - start_s
    if late > 0:
        assert not heard[: int((late - 0.07) * SAMPLE_RATE)].any(), "silence before late sound"
        wanted[: round(late * SAMPLE_RATE)] = 0
    assert abs(audio_shift_samples(heard, wanted)) <= 1
    assert np.abs(heard).max() == pytest.approx(0.6 * 32767, rel=0.08), "level kept"


def test_container_lag_is_what_an_index_reader_sees(tmp_path):
    pts, times = constant_pts_s(Fraction(25), 6), [1.0 + 0.31 * i for i in range(12)]
    for audio_start_s in (0.0, 0.4):
        video = open_video(
            write_events(
                tmp_path / "a.mov",
                EventFile(pts, times, audio_start_s, container="mov", audio_codec="pcm_s16le"),
            )
        )
        assert video.container_lag_ms == pytest.approx(1e3 * audio_start_s, abs=1.5)
        assert video.audio_start_us / 1e3 == pytest.approx(video.container_lag_ms)
