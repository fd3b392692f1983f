"""Training data of the synchrony models: samples of built corpora, and what is done to them.

Little data must do the work of much: every draw changes pace, mouth, light, voice and room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, lfilter, resample_poly

from manifests.clock import SAMPLE_RATE
from manifests.corpus import Corpus
from manifests.shards import SampleError, ShardSample
from stages.networks import lipsync_features as feat
from training.data.samples import ALL, Samples
from training.data.wanted import Wanted

NUM_VOICES = 6
"""Altered versions of each sound, made once."""


def _nothing() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass
class Example:
    """One sample: `landmarks` float32 [T, 68, 2], `mouths` uint8 [T, 40, 48], `pcm` int16."""

    name: str
    speaker: str
    source: str
    landmarks: np.ndarray
    mouths: np.ndarray
    pcm: np.ndarray
    lips: np.ndarray = field(default_factory=_nothing, repr=False)
    """What the model sees of the points. Towers: over their scale, float32 [T, 62], slow part
    included."""
    pixels: np.ndarray = field(default_factory=_nothing, repr=False)
    """Mouth components of the picture and of its mirror image, float32 [2, T, 24]."""
    mels: list[np.ndarray] = field(default_factory=list, repr=False)
    """What it hears: the sound as it is, then altered versions. Towers: float32 [4 T, 40]."""

    def __len__(self) -> int:
        return len(self.landmarks)


def examples_of(corpus: Path, min_frames: int = 25) -> Iterator[Example]:
    """Samples of a corpus with at least `min_frames`. Raises ValueError if it has none, and
    ShardError, which names the sample, for what is damaged."""
    sources = _sources(corpus)
    for sample in Samples.of(corpus, ALL, Wanted(min_frames=min_frames)):
        yield _example(sample, sources)


def _example(sample: ShardSample, sources: dict[str, str]) -> Example:
    facts = sample.facts
    if not np.isfinite(sample.landmarks).all():
        raise SampleError(sample.shard, sample.key, "its landmarks hold NaN or infinity")
    return Example(
        sample.key,
        facts["speaker_id"],
        sources.get(facts["video_id"], facts["video_id"]),
        sample.landmarks,
        feat.mouths_of_faces(sample.faces()),
        sample.sound,
    )


def _sources(corpus: Path) -> dict[str, str]:
    """Where each video came from, for shards that have their tables beside them."""
    if not (corpus / "manifests").is_dir():
        return {}
    return {row["video_id"]: row["address"] for row in Corpus(corpus).rows("sources")}


def prepare(examples: Sequence[Example], random: np.random.Generator) -> None:
    """Fill in `mels`: the sound as it is, then altered ones."""
    noises = [e.pcm.astype(np.float32) / 32768 for e in examples]
    for example in examples:
        sound = example.pcm.astype(np.float32) / 32768
        example.mels = [feat.log_mel(sound)] + [
            feat.log_mel(alter(sound, noises, random)) for _ in range(NUM_VOICES)
        ]


def alter(sound: np.ndarray, noises: Sequence[np.ndarray], random) -> np.ndarray:
    """Another microphone, another room, noise or other voices, a narrow line: each by chance."""
    made = sound
    if random.random() < 0.5:
        made = lfilter([1, random.uniform(-0.6, 0.6)], [1], made)
    if random.random() < 0.4:
        size = int(random.uniform(0.05, 0.35) * SAMPLE_RATE)
        room = random.standard_normal(size) * np.exp(-np.arange(size) / (size / 5))
        room[0] += random.uniform(3, 12)  # the direct sound comes first: no lag is added
        made = fftconvolve(made, room / np.linalg.norm(room))[: len(sound)]
    if random.random() < 0.5:
        other = (
            random.standard_normal(len(made))
            if random.random() < 0.6
            else np.resize(noises[random.integers(len(noises))], len(made))
        )
        level = 10 ** (-random.uniform(5, 30) / 20)
        made = made + other * (level * made.std() / (other.std() + 1e-9))
    if random.random() < 0.2:
        made = resample_poly(resample_poly(made, 1, 2), 2, 1)[: len(sound)]
    if random.random() < 0.2:  # eight bits on a logarithmic scale, as on a telephone line
        top = np.abs(made).max() + 1e-9
        law = np.sign(made) * np.log1p(255 * np.abs(made) / top) / np.log(256)
        law = np.round(law * 127) / 127
        made = np.sign(law) * (256 ** np.abs(law) - 1) / 255 * top
    return made.astype(np.float32)


def draw(
    example: Example,
    frames: int,
    steps: int,
    max_plant: float,
    lag_ms: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One training window: seen [frames, 86], heard [4 frames + 2 steps, 40], which rows of it
    exist [4 frames + 2 steps], and its lag in steps.

    The window is read at another pace, its mouth changed in size, slant and steadiness, perhaps
    mirrored; the lag is planted, `lag_ms` being the example's own. Every other time the sound
    ends where the pictures do, as in a short clip.
    """
    pace = random.uniform(0.85, 1.18)
    last = len(example) - 1
    begin = random.uniform(0, max(last - frames * pace, 0))
    at = np.clip(begin + pace * np.arange(frames), 0, last)
    is_mirrored = bool(random.random() < 0.5)
    points = feat.fast_part(_read(example.lips, at)).reshape(frames, -1, 2)
    if is_mirrored:
        points = points[:, list(feat.MIRROR)] * [-1, 1]
    points = points * random.uniform(0.6, 1.5) * random.uniform(0.8, 1.25, 2)
    angle = random.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (points + random.standard_normal(points.shape) * random.uniform(0, 0.4)) @ turn
    pixels = _read(example.pixels[int(is_mirrored)], at) * random.uniform(0.6, 1.5)
    pixels = pixels + random.standard_normal(pixels.shape) * random.uniform(0, 0.3)
    mel = example.mels[random.integers(len(example.mels))]
    planted = random.uniform(-max_plant, max_plant)
    # A picture that is late by a lag shows what was heard that much earlier.
    rows = 4 * begin - lag_ms / 10 + planted + pace * np.arange(-steps, 4 * frames + steps)
    exists = (rows >= 0) & (rows <= len(mel) - 1)
    heard = _read(mel, np.clip(rows, 0, len(mel) - 1))
    bands = np.clip(
        np.arange(feat.NUM_BANDS) * random.uniform(0.94, 1.06), 0, feat.NUM_BANDS - 1
    )  # a longer or shorter vocal tract
    heard = _read(heard.T, bands).T
    if random.random() < 0.5:
        own = slice(steps, steps + 4 * frames)
        if random.random() < 0.5:  # moved with silence from outside: there, but nothing said
            heard[~exists] = mel.min(0)
            exists[own] = True
        inside = np.zeros_like(exists)
        inside[own] = True
        exists &= inside
    heard = heard * exists[:, None]
    seen = np.concatenate([points.reshape(frames, -1), pixels], 1)
    return (
        seen.astype(np.float32),
        heard.astype(np.float32),
        exists.astype(np.float32),
        planted / pace,
    )


def _read(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of `values` at fractional places `at`, linear between neighbours."""
    low = np.minimum(np.floor(at).astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (at - low)[:, None].astype(np.float32)
    return values[low] * (1 - share) + values[high] * share
