"""The demo's input: files with known truth, which moves with the seed.

A programme of two speakers with cuts, other frame rates, planted offsets, and everything that
must be turned away: a silent face, speech without a face, no audio, a corrupt file, a dead
link. Muxed by ffmpeg through ffmpeg-python or PyAV; the sound is never resampled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path

import av
import numpy as np

from manifests.clock import FRAME_RATE
from manifests.files import write_atomic
from manifests.media.encode import x264_params
from pipeline.demo.portraits import SIZE_PX, Portrait, load_portraits, render
from pipeline.demo.voice import RATE, Speech, speak
from stages.sync.speech import SpeechDetector, share

# Pitch in Hz, scale of the formants, articulation: thin lips in small pictures move more.
VOICES = {"collins": (205.0, 1.12, 1.0), "hopper": (165.0, 1.05, 2.0)}
OFFSETS_MS = (-240, -200, -160, -120, -80, 80, 120, 160, 200, 240)


@dataclass(frozen=True)
class Planted:
    """The truth about one input. `cuts` are canonical frames; offsets are video lags."""

    name: str
    fate: str
    cuts: list[int] = field(default_factory=list)
    offset_ms: float | None = None
    speakers: list[str] = field(default_factory=list)
    what: str = ""


INPUTS = (
    "programme.mp4",
    "ntsc.mp4",
    "variable.mkv",
    "silent_face.mp4",
    "voice_only.mp4",
    "no_audio.mp4",
    "corrupt.mp4",
    "truth.json",
)
"""The files that `make_programme` writes."""


def make_programme(
    folder: Path, seed: int, say: Callable[[str], None] = lambda _: None
) -> list[Planted]:
    """Write the inputs and `truth.json` to `folder`; the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, 25])
    people = {p.name: p for p in load_portraits()}
    lags = random.choice(OFFSETS_MS, 3, replace=False)
    names = ["collins", "hopper"]
    if random.random() < 0.5:
        names.reverse()
    lengths = [float(x) for x in random.integers(230, 270, 3) / 25]
    planted = []

    def file(
        name: str,
        parts: Sequence[tuple[str, float]],
        times: list[Fraction],
        lag_ms: float,
        what: str,
    ) -> None:
        say(name)
        speech = [(people[p], talk(p, s, int(random.integers(2**31))), s) for p, s in parts]
        draw_talk(folder / name, speech, times, lag_ms / 1000, random)
        edges = np.cumsum([s for _, s in parts])[:-1]
        planted.append(
            Planted(
                name,
                "clips",
                [round(float(e) * FRAME_RATE) for e in edges],
                float(lag_ms),
                [p for p, _ in parts],
                what,
            )
        )

    parts = [(names[0], lengths[0]), (names[1], lengths[1]), (names[0], lengths[2])]
    file(
        "programme.mp4",
        parts,
        steady(Fraction(25), sum(lengths)),
        float(lags[0]),
        "two speakers, two cuts",
    )
    file(
        "ntsc.mp4",
        [(names[1], 10.0)],
        steady(Fraction(30000, 1001), 10.0),
        float(lags[1]),
        "29.97 fps",
    )
    file(
        "variable.mkv",
        [(names[0], 10.0)],
        _uneven(10.0, random),
        float(lags[2]),
        "variable frame rate",
    )
    say("what must be turned away")
    quiet = Speech(np.zeros(5 * RATE, np.float32), np.zeros(1000), np.ones(1000))
    draw_talk(
        folder / "silent_face.mp4",
        [(people[names[0]], quiet, 5.0)],
        steady(Fraction(25), 5.0),
        0.0,
        random,
    )
    planted.append(Planted("silent_face.mp4", "no_speech", what="a face, no speech"))
    _no_face(folder / "voice_only.mp4", talk(names[1], 6.0, int(seed) + 7), random)
    planted.append(Planted("voice_only.mp4", "no_face", what="speech, no face"))
    draw_talk(
        folder / "no_audio.mp4",
        [(people[names[1]], quiet, 3.0)],
        steady(Fraction(25), 3.0),
        None,
        random,
    )
    planted.append(Planted("no_audio.mp4", "no_audio", what="no audio stream"))
    write_atomic(folder / "corrupt.mp4", random.bytes(40_000))
    planted.append(Planted("corrupt.mp4", "unreadable", what="random bytes"))
    planted.append(Planted("gone.mp4", "gone", what="a dead link"))
    write_atomic(folder / "truth.json", json.dumps([asdict(p) for p in planted], indent=1))
    return planted


@cache
def _detector() -> SpeechDetector:
    return SpeechDetector()


def talk(name: str, seconds: float, seed: int) -> Speech:
    """Syllables that a voice detector takes for speech, as it does most of them."""
    pitch_hz, formant_scale, articulation = VOICES[name]
    detector, frames = _detector(), int(seconds * FRAME_RATE)
    for attempt in range(10):
        speech = speak(seconds, pitch_hz, formant_scale, seed + 1009 * attempt, articulation)
        heard = detector.regions((speech.pcm * 32767).astype(np.int16))
        if share(heard, 0, frames) >= 0.6:
            break
    return speech


def steady(rate: Fraction, duration_s: float) -> list[Fraction]:
    """Presentation times of a constant rate, in seconds."""
    return [Fraction(i) / rate for i in range(int(duration_s * rate))]


def _uneven(duration_s: float, random) -> list[Fraction]:
    """Whole milliseconds, 20 to 60 ms apart."""
    times, at = [], 0
    while at < duration_s * 1000:
        times.append(Fraction(at, 1000))
        at += int(random.integers(20, 61))
    return times


def draw_talk(
    path: Path,
    parts: Sequence[tuple[Portrait, Speech, float]],
    times: list[Fraction],
    lag_s: float | None,
    random,
) -> None:
    """Write MP4: who talks with which sound and how long, one after the other, frames at `times`.

    `lag_s` > 0 lets the picture come late; None: the file gets no sound.
    """
    total_s = sum(s for _, _, s in parts)
    sound = np.concatenate([fit_sound(speech.pcm, seconds) for _, speech, seconds in parts])
    sway = random.uniform(0.15, 0.35, (len(parts), 3))
    starts = np.concatenate([[0.0], np.cumsum([s for _, _, s in parts])])

    def frame_at(time: Fraction) -> np.ndarray:
        now = float(time)
        index = min(int(np.searchsorted(starts, now, "right")) - 1, len(parts) - 1)
        person, speech, _ = parts[index]
        opening, spread = speech.mouth_at(now - starts[index])
        swing = np.sin(2 * np.pi * sway[index] * now) * (2.0, 1.5, 0.7)
        return render(person, opening, spread, tuple(swing))

    # The picture keeps its time, so that cuts stay on whole frames; the sound is moved. What
    # moves in from outside is silence.
    if lag_s is not None:
        shift = round(lag_s * RATE)
        moved = np.zeros(round(total_s * RATE), np.float32)
        source = np.arange(len(moved)) + shift
        inside = (source >= 0) & (source < len(sound))
        moved[inside] = sound[source[inside]]
        moved += 0.0005 * random.standard_normal(len(moved)).astype(np.float32)
    write_media(path, (frame_at(t) for t in times), times, None if lag_s is None else moved)


def _no_face(path: Path, speech: Speech, random) -> None:
    import cv2

    small = random.integers(40, 200, (6, 8, 3), dtype=np.uint8)
    still = cv2.resize(small, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    times = steady(Fraction(25), 6.0)
    rolling = (np.roll(still, i, 1) for i in range(len(times)))
    write_media(path, rolling, times, fit_sound(speech.pcm, 6.0))


def fit_sound(pcm: np.ndarray, seconds: float) -> np.ndarray:
    size = round(seconds * RATE)
    return np.pad(pcm, (0, max(0, size - len(pcm))))[:size]


def write_media(path: Path, frames, times: list[Fraction], sound: np.ndarray | None) -> None:
    """H.264 of frames uint8 [H, W, 3] RGB shown at `times` s, with AAC of mono `sound`."""
    frames = iter(frames)
    first = next(frames)
    base = Fraction(1, 1000) if path.suffix == ".mkv" else Fraction(1, 30000)
    # Matroska else carries a random number.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        rate = Fraction(len(times) - 1) / (times[-1] - times[0])
        video = container.add_stream(
            "libx264",
            rate=rate.limit_denominator(1001),
            options={"preset": "veryfast", "crf": "20", "x264-params": x264_params()},
        )
        video.height, video.width = first.shape[:2]
        video.pix_fmt, video.time_base = "yuv420p", base
        video.codec_context.time_base = base
        audio = None
        if sound is not None:
            audio = container.add_stream("aac", rate=RATE, options={"b": "96000"})
            audio.layout = "mono"
        for frame, time in zip(chain([first], frames), times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = round(time / base), base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            pcm = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
            for start in range(0, len(pcm), 1024):
                block = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(pcm[None, start : start + 1024]),
                    format="s16",
                    layout="mono",
                )
                block.sample_rate, block.pts = RATE, start
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
