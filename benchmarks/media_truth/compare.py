"""Judges a file: each canonical frame and each sample, against ffmpeg and against what was
composed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.media_truth import counter
from benchmarks.media_truth.hearing import SEARCH, compare_sound
from benchmarks.media_truth.marks import samples
from benchmarks.media_truth.recipe import Recipe
from benchmarks.media_truth.reference import Pictures, decode_pictures, decode_sound
from manifests.clock import SAMPLE_RATE, Clock
from manifests.media.pictures import iter_frames, iter_pictures
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.records import Video

MAX_PICTURE_DIFFERENCE = 5.0
"""Mean difference of 8-bit RGB that scalers and decoders may make."""
MAX_LEVEL_DB = 0.5
MAX_HELD = 250
"""Canonical frames that a picture may stand, 10 s."""
MAX_REORDERED = 5
"""Pictures that a reader may leave out at the end of a truncated file."""


@dataclass
class Verdict:
    """What was compared, and what was wrong."""

    num_frames: int = 0
    wrong_by_ffmpeg: int = 0
    wrong_by_composition: int = 0
    num_windows: int = 0
    lag_samples: float = 0.0
    """Greatest distance from ffmpeg's sound of any window."""
    correlation: float = 1.0
    """Smallest of any window, with ffmpeg's sound."""
    composed_lag_samples: float = 0.0
    picture_difference: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Expected:
    """What a right reader gives, where it is not simply what ffmpeg gives."""

    rejects: frozenset[str] = frozenset()
    """Reasons of which one is right; then nothing is compared."""
    words: str = ""
    """What the sentence of the reject must name."""
    video: str = "0:v:0"
    audio: str = "0:a:0"
    """ffmpeg's names of the streams that are to be chosen."""
    seed: int = 0
    """Of the sound that is to be heard."""
    mix: str | None = None
    """ffmpeg's filter to one channel, where its own mix is not what is wanted."""
    frame_slack_us: int = 1
    """How much farther than the nearest a picture may be, by ffmpeg's stamps."""
    composed_slack_us: int = 1100
    sound_slack_samples: float = 1.0
    min_correlation: float = 0.99
    composed_sound_slack_samples: float = 1.5
    composed_min_correlation: float = 0.95
    notes: tuple[str, ...] = ()
    """Words that must stand in the notes of the record."""
    is_truncated: bool = False
    compare_colour: bool = True
    by_composition: bool = True
    by_ffmpeg: bool = True
    own_clocks: bool = False
    """A clock that jumps: each part lies where its sound lies, at most 50 ms from where it was
    composed, and its pictures are held against that."""
    why: str = ""
    """Said of every departure from the defaults."""


def judge(path: Path, recipe: Recipe, parts: tuple[Recipe, ...], expected: Expected) -> Verdict:
    """Compare a file that is to be read. Raises what the reader raises."""
    verdict = Verdict()
    video = open_video(path)
    shown = decode_pictures(path, expected.video, video.width_px, video.height_px)
    read = [counter.read(p) for p in shown.rgb]
    numbers = [number for number in read if number is not None]
    if len(numbers) < len(read):
        verdict.faults.append(f"ffmpeg's own picture {read.index(None)} shows no number")
        return verdict
    zero = shown.times_us[0]
    if expected.by_ffmpeg and abs(video.zero_us - zero) > 1000:
        verdict.faults.append(f"zero is {float(video.zero_us - zero) / 1000:.1f} ms off")
    times = {
        number: time
        for part in parts or (recipe,)
        for number, time in enumerate(part.times_s(), part.first_number)
    }
    if video.num_frames > MAX_HELD * len(numbers) + 1:
        verdict.faults.append(f"{video.num_frames} frames of {len(numbers)} decoded pictures")
        return verdict  # reading hours of nothing would take all memory
    _check_notes(video, expected, verdict)
    seen = _seen(video, verdict, shown, numbers, expected)
    _check_length(video, shown, [times[n] * 1_000_000 for n in numbers], expected, verdict)
    lags = _check_sound(
        path, video, zero, float(times[numbers[0]]), recipe, parts, expected, verdict
    )
    if expected.by_ffmpeg:
        at = dict(zip(numbers, shown.times_us, strict=True))
        verdict.wrong_by_ffmpeg = _count_wrong(seen, at, zero, expected.frame_slack_us)
    if expected.by_composition:
        at = {n: times[n] * 1_000_000 for n in numbers}
        verdict.wrong_by_composition = _count_wrong(
            seen,
            at,
            at[numbers[0]],
            expected.composed_slack_us,
            lags if expected.own_clocks else [],
        )
    for words, count in (
        ("by ffmpeg's stamps", verdict.wrong_by_ffmpeg),
        ("by what was composed", verdict.wrong_by_composition),
    ):
        if count:
            verdict.faults.append(f"{count} of {len(seen)} frames wrong {words}")
    _check_span(video, seen, verdict)
    return verdict


def _check_notes(video: Video, expected: Expected, verdict: Verdict) -> None:
    said = " ".join(video.notes)
    verdict.faults += [f"no note says {word!r}" for word in expected.notes if word not in said]
    if video.is_truncated != expected.is_truncated:
        verdict.faults.append(
            "said to be truncated" if video.is_truncated else "not said to be truncated"
        )


def _seen(video, verdict, shown: Pictures, numbers, expected: Expected) -> list[int | None]:
    """The number in each canonical frame; its picture is held against ffmpeg's."""
    seen: list[int | None] = []
    last, number = None, None
    place = {n: i for i, n in enumerate(numbers)}
    for frame, picture in iter_pictures(video):
        if frame != len(seen):
            verdict.faults.append(f"frame {frame} where {len(seen)} was due")
        if picture is not last:
            last, rgb = picture, picture.rgb()
            number = counter.read(rgb)
            if number is None:
                verdict.faults.append(f"frame {frame} is {counter.orientation(rgb)}")
            elif counter.read(picture.luma()) != number:
                verdict.faults.append(f"brightness of frame {frame} shows another picture")
            elif number in place and expected.compare_colour:
                other = shown.rgb[place[number]]
                difference = float(np.abs(rgb.astype(np.int16) - other).mean())
                verdict.picture_difference = max(verdict.picture_difference, difference)
        seen.append(number)
    verdict.num_frames = len(seen)
    if len(seen) != video.num_frames:
        verdict.faults.append(f"{len(seen)} frames of {video.num_frames}")
    if verdict.picture_difference > MAX_PICTURE_DIFFERENCE:
        verdict.faults.append(f"pictures differ by {verdict.picture_difference:.1f} of 255")
    return seen


def _count_wrong(
    seen,
    at: dict[int, Fraction],
    zero: Fraction,
    slack_us: int,
    lags: Sequence[tuple[float, float]] = (),
) -> int:
    """Canonical frames that show another picture than the nearest in time; with the lags of the
    sound, the nearest in the time that is heard about then."""
    times = np.array([float(t - zero) for t in at.values()])
    wrong = 0
    for frame, number in enumerate(seen):
        due_us = float(Clock(0).time_us(frame))
        shifts_us = (
            {0.0}
            if not lags
            else {
                lag * 1e6 / SAMPLE_RATE for time_s, lag in lags if abs(time_s - due_us / 1e6) < 0.5
            }
        )
        wrong += not any(
            _is_nearest(at.get(number), zero, times, due_us - shift, slack_us)
            for shift in shifts_us
        )
    return wrong


def _is_nearest(shown_us, zero, times: np.ndarray, due_us: float, slack_us: int) -> bool:
    nearest = float(np.abs(times - due_us).min())
    return shown_us is not None and abs(float(shown_us - zero) - due_us) <= nearest + slack_us


def _check_length(
    video: Video, shown: Pictures, composed_us: list[Fraction], expected: Expected, verdict: Verdict
) -> None:
    """The timeline ends with the last picture, whose length may only be guessed."""
    times = sorted(shown.times_us if expected.by_ffmpeg else composed_us)
    steps = [b - a for a, b in zip(times, times[1:], strict=False)] or [Fraction(1_000_000)]
    last = times[-1] - times[0]
    low, high = Clock(0).num_frames(int(last)), Clock(0).num_frames(int(last + max(steps))) + 1
    if expected.is_truncated:  # pictures whose followers are missing may be out of order
        low -= MAX_REORDERED
    if not low <= video.num_frames <= high:
        verdict.faults.append(f"{video.num_frames} frames, where {low} to {high} were shown")


def _check_sound(path, video, zero, first_s, recipe, parts, expected, verdict) -> list:
    """Both comparisons; the lags of the windows of the last."""
    heard = read_audio(video)
    if len(heard) != video.num_frames * 640:
        verdict.faults.append(f"{len(heard)} samples for {video.num_frames} frames")
    heard, count = heard.astype(np.float64), len(heard) + 2 * SEARCH
    starts = [1e6 * (s.start_s - first_s) for part in parts or (recipe,) for s in part.sounds]
    if expected.by_ffmpeg:
        margin = Fraction(SEARCH * 1_000_000, SAMPLE_RATE)
        other = decode_sound(path, expected.audio, zero - margin, count, expected.mix)
        starts.append(float(other.start_us - zero))
        match = compare_sound(heard, other.pcm)
        verdict.lag_samples, verdict.correlation = match.lag_samples, match.correlation
        verdict.num_windows = match.num_windows
        verdict.faults += match.faults(
            "ffmpeg's", expected.sound_slack_samples, expected.min_correlation
        )
        if match.level_db > MAX_LEVEL_DB and expected.mix is None:
            verdict.faults.append(f"level {match.level_db:.1f} dB off ffmpeg's")
    if expected.by_composition:
        truth = composed_sound(parts or (recipe,), expected, first_s - SEARCH / SAMPLE_RATE, count)
        if expected.is_truncated and expected.by_ffmpeg:  # where the cut is, only ffmpeg tells
            there = float(other.end_us - zero) / 1e6 - 0.08
            truth[SEARCH + max(0, int(there * SAMPLE_RATE)) :] = np.nan
        match = compare_sound(heard, truth)
        verdict.composed_lag_samples = match.lag_samples
        verdict.num_windows = verdict.num_windows or match.num_windows
        verdict.faults += match.faults(
            "what was composed",
            expected.composed_sound_slack_samples,
            expected.composed_min_correlation,
        )
    # A stream that does not mark its priming begins with it.
    slack_us = 1500 if expected.by_ffmpeg else 30_000
    if min(abs(video.audio_start_us - start) for start in starts) > slack_us:
        verdict.faults.append(
            f"sound is said to begin at {video.audio_start_us / 1000:.1f} ms, "
            f"not at {starts[-1] / 1000:.1f} ms"
        )
    return match.lags


def composed_sound(
    parts: tuple[Recipe, ...], expected: Expected, first_s: float, count: int
) -> np.ndarray:
    """float64 [count] from `first_s` of the clip on, in the unit of int16; NaN where it is not
    known to the sample: at the ends of the recording and of holes."""
    time_s = first_s + np.arange(count) / SAMPLE_RATE
    known = np.zeros(count, bool)
    for part in parts:
        for sound in part.sounds:
            if sound.seed != expected.seed:
                continue
            end_s = part.start_s + part.seconds if sound.end_s is None else sound.end_s
            inside = (time_s >= sound.start_s + 0.03) & (time_s < end_s - 0.08)
            for low, high in sound.lost_s:
                inside &= (time_s < low - 0.1) | (time_s >= high + 0.1)
            known |= inside
    truth = samples(first_s, count, SAMPLE_RATE, expected.seed) * 32767
    return np.where(known, truth, np.nan)


def _check_span(video: Video, seen: list, verdict: Verdict) -> None:
    """A part in the middle, as stages read it, is the same as in the whole."""
    start = video.num_frames // 2
    end = min(start + 3, video.num_frames)
    part = [counter.read(p) for _, p in iter_frames(video, None, start, end)]
    if part != seen[start:end]:
        verdict.faults.append(f"frames {start} to {end} alone are {part}, not {seen[start:end]}")
