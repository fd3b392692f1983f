"""The held-out trial of a synchrony model: planted lags, foreign sounds, calibration.

Every window is tried by a model that never saw its speaker. A window is cut out first and goes
through the whole front end alone, as a short clip of a stranger would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME, seconds_of
from stages.networks.lag_curves import Basis, Peak, confidence, evidence
from stages.sync.speech import SpeechDetector, share
from training.models.lipsync.examples import Example
from training.models.lipsync.system import Model

FOREIGN = ("noise", "music", "silence", "still face")
"""Each window has one of these, and all of `VOICES` that are to be had."""
VOICES = ("other speaker", "other clip", "elsewhere")
"""Of another person; of the same one; the same clip's sound from well outside the search."""
ELSEWHERE_FRAMES = 40
MOST_WINDOWS = 4
"""Of one length in one clip: many clips say more than much of one."""


@dataclass
class Row:
    """One tried window."""

    speaker: str
    source: str
    kind: str
    """`talk`, or which foreign sound."""
    seconds: float
    planted_ms: float
    lag_ms: float
    height: float
    margin: float
    mass: float
    spread_ms: float
    """NaN like `mass` where no votes were counted."""
    is_at_limit: bool
    error_ms: float | None = None
    centre_error_ms: float | None = None
    """Error against the clip's own pooled lag, as the same model measures it."""
    speech_s: float = float("nan")
    """Of the sound that was tried; NaN like `rhythm` in a trial that did not look."""
    rhythm: float = float("nan")
    """See `stages.networks.lag_curves.rhythm`."""
    curve: np.ndarray | None = field(default=None, repr=False, compare=False)
    """Correlation over lags, float32 [voters, L]: what confidence is learnt from."""


@cache
def speech() -> SpeechDetector:
    """What hears speech, as the stage has it."""
    return SpeechDetector()


def shifted(pcm: np.ndarray, low: int, high: int, lag_ms: float) -> np.ndarray:
    """Sound of frames [low, high) with the picture late by `lag_ms`; silence from outside."""
    start = low * SAMPLES_PER_FRAME + round(lag_ms * SAMPLE_RATE / 1000)
    rows = np.arange(start, start + (high - low) * SAMPLES_PER_FRAME)
    inside = (rows >= 0) & (rows < len(pcm))
    made = np.zeros(len(rows), np.int16)
    made[inside] = pcm[rows[inside]]
    return made


def music(samples: int, random: np.random.Generator) -> np.ndarray:
    """Chords of decaying harmonics with a beat, int16 [samples]."""
    out, at = np.zeros(samples + SAMPLE_RATE), 0
    beat = int(random.uniform(0.2, 0.5) * SAMPLE_RATE)
    while at < samples:
        time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
        for _ in range(random.integers(1, 4)):
            pitch = 110 * 2 ** (random.integers(0, 36) / 12)
            for harmonic in range(1, 6):
                out[at : at + SAMPLE_RATE] += (
                    np.sin(2 * np.pi * pitch * harmonic * time)
                    * np.exp(-time * random.uniform(2, 6))
                    / harmonic
                )
        out[at : at + 800] += random.standard_normal(800) * np.linspace(1, 0, 800)  # a drum
        at += beat * int(random.integers(1, 3))
    return (out[:samples] / np.abs(out).max() * 12000).astype(np.int16)


def try_speaker(
    model: Model,
    tested: Sequence[Example],
    rest: Sequence[Example],
    native_ms: dict[str, float],
    centre_ms: dict[str, float],
    random: np.random.Generator,
    frames: int = 75,
    plants: int = 2,
    foreign: bool = True,
) -> list[Row]:
    """Rows of the examples of unseen speakers: windows at random starts with planted lags.
    `native_ms` and `centre_ms` are by the examples' names."""
    rows = []

    def add(example, kind, planted, landmarks, mouths, pcm):
        reading = model.clip_reading(landmarks, mouths, pcm)
        peak = None if reading is None else model.peak(reading.curve)
        if reading is None or peak is None:
            return
        error = centred = None
        if kind == "talk":
            error = peak.lag_ms - planted - native_ms[example.name]
            centred = peak.lag_ms - planted - centre_ms[example.name]
        rows.append(
            Row(
                example.speaker,
                example.source,
                kind,
                seconds_of(len(landmarks)),
                planted,
                peak.lag_ms,
                peak.height,
                peak.margin,
                peak.mass,
                peak.spread_ms,
                peak.is_at_limit,
                error,
                centred,
                seconds_of(share(speech().regions(pcm), 0, len(landmarks)) * len(landmarks)),
                float("nan") if reading.rhythm is None else reading.rhythm,
                reading.curve,
            )
        )

    for example in tested:
        count = min(len(example) // frames or (1 if frames <= 75 else 0), MOST_WINDOWS)
        for _ in range(count):
            low = int(random.integers(max(len(example) - frames, 0) + 1))
            high = min(low + frames, len(example))
            points, mouths = example.landmarks[low:high], example.mouths[low:high]
            for _ in range(plants):
                planted = float(random.uniform(-500, 500))
                add(
                    example,
                    "talk",
                    planted,
                    points,
                    mouths,
                    shifted(example.pcm, low, high, planted),
                )
            if not foreign:
                continue
            size = (high - low) * SAMPLES_PER_FRAME
            turn = FOREIGN[int(random.integers(len(FOREIGN)))]
            for kind in (turn, *VOICES):
                sound, seen = _foreign(kind, example, low, tested, rest, size, random), mouths
                where = points
                if sound is None:
                    continue
                if kind == "still face":
                    sound = shifted(example.pcm, low, high, 0)
                    seen = np.repeat(mouths[:1], len(mouths), 0)
                    where = points[:1] + random.normal(0, 0.3, points.shape).astype(np.float32)
                add(example, kind, 0.0, where, seen, sound)
    return rows


def _foreign(kind, example, low, tested, rest, size, random) -> np.ndarray | None:
    if kind in ("silence", "still face"):
        return (random.standard_normal(size) * 3).astype(np.int16)
    if kind == "noise":
        return (random.standard_normal(size) * 3000).astype(np.int16)
    if kind == "music":
        return music(size, random)
    if kind == "elsewhere":
        frames = size // SAMPLES_PER_FRAME
        starts = np.arange(len(example) - frames + 1)
        starts = starts[np.abs(starts - low) >= frames + ELSEWHERE_FRAMES]
        if not len(starts):
            return None
        start = int(random.choice(starts))
        return shifted(example.pcm, start, start + frames, 0.0)
    pool_of = (
        [e for e in rest if e.speaker != example.speaker]
        if kind == "other speaker"
        else [e for e in tested if e.speaker == example.speaker and e is not example]
    )
    if not pool_of:
        return None
    other = pool_of[random.integers(len(pool_of))].pcm
    return np.roll(np.resize(other, size), int(random.integers(SAMPLE_RATE)))


def is_right(row: Row) -> bool:
    """Whether a window's lag is true within 40 ms."""
    return row.error_ms is not None and abs(row.error_ms) <= 40


def is_consistent(row: Row) -> bool:
    """Whether a window's lag is within 40 ms of the clip's own centre."""
    return row.centre_error_ms is not None and abs(row.centre_error_ms) <= 40


def calibrate(rows: Sequence[Row]) -> np.ndarray:
    """Logistic weights of `evidence` for P(error <= 40 ms), by penalised Newton steps.

    Errors are taken from the clip's centre: a fold that leaves out nearly all synchronous
    data has an uncertain zero, the shipped weights have not.
    """
    x = np.stack([evidence(peak_of(r), basis_of(r)) for r in rows])
    y = np.array([is_consistent(r) for r in rows], float)
    weights, penalty = np.zeros(x.shape[1]), 1e-2 * np.eye(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        bend = (x * (p * (1 - p))[:, None]).T @ x + penalty
        weights = weights + np.linalg.solve(bend, x.T @ (y - p) - penalty @ weights)
    return weights


def peak_of(row: Row) -> Peak:
    return Peak(row.lag_ms, row.height, row.margin, row.is_at_limit, row.mass, row.spread_ms)


def basis_of(row: Row) -> Basis:
    told = [None if np.isnan(x) else x for x in (row.speech_s, row.rhythm)]
    return Basis(row.seconds, *told)


def cross_confidence(rows: Sequence[Row], parts: int = 10) -> np.ndarray:
    """Confidence of each row from a calibration that never saw its speaker; of who has more than
    a tenth of the rows, its clip, for where one speaker has most of them the others alone calibrate
    badly. The towers behind the rows never saw the speaker anyway.
    """
    rows_of = Counter(r.speaker for r in rows)
    apart = [r.source if 10 * rows_of[r.speaker] > len(rows) else r.speaker for r in rows]
    names = sorted(set(apart))
    place = np.random.default_rng(0).permutation(len(names)) % parts
    part_of = dict(zip(names, place, strict=True))
    part = np.array([part_of[name] for name in apart])
    sure = np.zeros(len(rows))
    for one in np.unique(part):
        if (part == one).all():
            raise ValueError("one clip is too few: the confidence is fitted on others")
        weights = calibrate([r for r, p in zip(rows, part, strict=True) if p != one])
        for index in np.flatnonzero(part == one).tolist():
            row = rows[index]
            sure[index] = confidence(peak_of(row), basis_of(row), weights)
    return sure
