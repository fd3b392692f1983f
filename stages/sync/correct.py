"""Correct: a clip or a shard written anew with offset and drift taken out of its sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr

from manifests.clock import FRAME_RATE, SAMPLE_RATE, lag_to_samples, samples_of
from manifests.files import atomic_path, write_atomic
from manifests.media.encode import encode_flac, x264_params
from manifests.media.facts import MediaError
from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio, shifted
from manifests.media.video import open_video
from manifests.paths import as_path
from manifests.records import Correction, Reject, Video, col
from manifests.sample_json import known, typed
from manifests.shards import WIDE_AUDIO, ShardSample, read_samples, write_samples
from stages.base import Context, Resources, Stage
from stages.text.clip_text import moved_text


@dataclass(frozen=True)
class CorrectConfig:
    """How corrected files are written."""

    crf: int = col("x264's constant rate factor; smaller is better and larger", default=14)


class Correct(Stage[Correction, Correction]):
    """Media file -> MP4 with H.264 and FLAC; shard -> shard."""

    name = "correct"
    version = 3
    reasons = frozenset({"unreadable", "no_video", "no_audio"})
    resources = Resources(memory_gb=6.0, timeout_s=3600.0)

    def process(
        self, batch: Sequence[Correction], context: Context
    ) -> list[list[Correction] | Reject]:
        return [self._one(c) for c in batch]

    def _one(self, item: Correction) -> list[Correction] | Reject:
        if item.path.endswith(".tar"):
            correct_shard(
                as_path(item.path),
                as_path(item.target),
                dict(zip(item.clip_ids, item.lags_ms, strict=True)),
            )
            return [item]
        try:
            correct_file(
                as_path(item.path),
                as_path(item.target),
                item.lags_ms[0],
                self.config.crf,
                item.drift_ppm,
                (item.start_s, item.end_s),
            )
        except MediaError as error:
            reason = error.reason if error.reason in self.reasons else "unreadable"
            return Reject(reason, detail=str(error))
        return [item]


def moved(pcm: np.ndarray, lag_ms: float) -> np.ndarray:
    """Sound that suits pictures which came late by `lag_ms` (`manifests.clock.shifted`)."""
    return shifted(pcm, lag_to_samples(lag_ms))


def retimed(pcm: np.ndarray, lag_ms: float, drift_ppm: float) -> np.ndarray:
    """Sound int16 [N] that suits pictures late by `lag_ms` at its beginning and by 0.001
    `drift_ppm` ms more with each second: sample n is the sound at n - lag - drift n, band-limited
    between samples (soxr, its best quality), same length. The lag counts in whole samples.

    What moves in from outside the recording is silence.
    """
    if not drift_ppm:
        return moved(pcm, lag_ms)
    kept = 1.0 - 1e-6 * drift_ppm
    first = -lag_to_samples(lag_ms)
    # Everything from the first sample wanted on, which may be silence before the recording.
    source = np.pad(pcm[max(first, 0) :], (max(-first, 0), 0)).astype(np.float32)
    made = soxr.resample(source, kept, 1.0, quality="VHQ")[: len(pcm)]
    made = np.clip(np.rint(made), -32768, 32767).astype(np.int16)
    return np.pad(made, (0, len(pcm) - len(made)))


def steady_rate(source_fps: str | None, is_vfr: bool) -> Fraction:
    """The constant rate of a corrected file: the source's own, or the canonical one for an uneven
    one."""
    if is_vfr or source_fps is None:
        return FRAME_RATE
    return Fraction(source_fps)


def correct_file(
    path: Path,
    target: Path,
    lag_ms: float,
    crf: int,
    drift_ppm: float = 0.0,
    span_s: tuple[float | None, float | None] = (None, None),
) -> None:
    """Write `target`: same pictures at a constant rate from zero, mono sound at 16 kHz moved.

    `lag_ms` is that at the beginning of `path`, `drift_ppm` its growth; `span_s` what to keep of
    `path`, from and to. Raises MediaError for what cannot be read, and for an empty span.
    """
    video = open_video(path)
    rate = steady_rate(video.source_fps, video.is_vfr)
    if rate != Fraction(video.frame_rate):
        video = open_video(path, rate)
    start, end = (
        0 if span_s[0] is None else max(0, round(span_s[0] * rate)),
        video.num_frames if span_s[1] is None else min(video.num_frames, round(span_s[1] * rate)),
    )
    if start >= end:
        raise MediaError(
            "unreadable",
            (
                f"{path.name}: nothing lies between {span_s[0]} and {span_s[1]} s; it lasts "
                f"{float(video.num_frames / rate):.2f} s"
            ),
        )
    sound = retimed(read_audio(video, path), lag_ms, drift_ppm)
    sound = sound[samples_of(start, rate) : samples_of(end, rate)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        _write(temporary, video, path, rate, sound, crf, start, end)


def _write(
    temporary: Path,
    video: Video,
    path: Path,
    rate: Fraction,
    sound: np.ndarray,
    crf: int,
    start_frame: int,
    end_frame: int,
) -> None:
    # Without an edit list nobody can fail to apply it; without B-frames and with FLAC, which
    # has no priming, none is needed.
    with av.open(
        str(temporary),
        "w",
        format="mp4",
        container_options={"use_editlist": "0", "movflags": "faststart"},
    ) as out:
        stream = out.add_stream(
            "libx264",
            rate=rate,
            options={
                "crf": str(crf),
                "preset": "veryfast",
                "bf": "0",
                "x264-params": x264_params(),
            },
        )
        # Odd sizes lose their last row or column: 4:2:0 has none.
        stream.width, stream.height = video.width_px // 2 * 2, video.height_px // 2 * 2
        stream.pix_fmt, stream.time_base = "yuv420p", 1 / rate
        audio = out.add_stream("flac", rate=SAMPLE_RATE)
        audio.layout = "mono"
        for number, picture in iter_pictures(video, path, start_frame, end_frame):
            rgb = picture.rgb()[: stream.height, : stream.width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = number - start_frame, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for start in range(0, len(sound), 4096):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound[None, start : start + 4096]), format="s16", layout="mono"
            )
            block.sample_rate, block.pts = SAMPLE_RATE, start
            block.time_base = Fraction(1, SAMPLE_RATE)
            out.mux(audio.encode(block))
        out.mux(audio.encode(None))


def correct_shard(path: Path, target: Path, lags_ms: dict[str, float]) -> None:
    """Write the samples of `lags_ms` with their sound moved; all else stays byte for byte."""
    made = []
    for sample in read_samples(path):
        if sample.key not in lags_ms:
            continue
        lag = lags_ms[sample.key]
        facts = known(sample.facts)
        facts["applied_lag_ms"] = round((facts.get("applied_lag_ms") or 0.0) + lag, 1)
        facts["resync_lag_ms"] = round(lag, 1)
        sound = moved(sample.sound, lag)
        facts |= moved_text(facts, lag, len(sound) / SAMPLE_RATE)
        members = {**sample.members, "audio.flac": encode_flac(sound)}
        if WIDE_AUDIO in members:
            wide, rate = sample.wide_sound
            members[WIDE_AUDIO] = encode_flac(
                shifted(wide, round(lag_to_samples(lag) * rate / SAMPLE_RATE)), rate
            )
        made.append(ShardSample(sample.key, members).with_facts(typed(facts)))
    buffer = io.BytesIO()
    write_samples(buffer, made)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, buffer.getvalue())
