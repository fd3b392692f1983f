"""A corpus of drawn mouths that open with the loudness of what is heard: small, made in seconds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.crops import ANCHORS, template
from manifests.media.encode import encode_flac, encode_video
from manifests.shards import SampleIndex, ShardSample, write_samples

MOUTH = (128, 176)
"""Its middle in the canonical picture, x and y, px."""


def speaking(root: Path, num_clips: int = 12, num_frames: int = 32, seed: int = 0) -> Path:
    """`train/000000.tar` with clips of two speakers."""
    made = []
    for number in range(num_clips):
        random = np.random.default_rng([seed, number])
        opening = openings(num_frames, random)
        facts = {
            "num_frames": num_frames,
            "speaker_id": f"spk-{number % 2}",
            "applied_lag_ms": 0.0,
            "video_lag_ms": 0.0,
            "offset_status": "measured",
        }
        members = {
            "face.mp4": encode_video(drawn(opening, 90 + 40 * (number % 2)))[0],
            "audio.flac": encode_flac(heard(opening, random)),
            "landmarks.npy": landmarks(num_frames),
            "json": json.dumps(facts).encode(),
        }
        made.append(ShardSample(f"clip-{number:03d}", members))
    path = root / "train" / "000000.tar"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        write_samples(file, made)
    SampleIndex.scan(path).write()
    return root


def landmarks(num_frames: int) -> bytes:
    """68 points a frame, of which the anchors are the template's: the head stands still."""
    points = np.zeros((num_frames, 68, 2), np.float32)
    points[:, list(ANCHORS)] = template()
    content = io.BytesIO()
    np.save(content, points)
    return content.getvalue()


def openings(num_frames: int, random: np.random.Generator) -> np.ndarray:
    """How open a mouth is at each frame, float [T] in 0..1: syllables of 120 to 280 ms."""
    fine = np.zeros(num_frames * 40)
    at = 0
    while at < len(fine):
        length = int(random.integers(120, 281))
        bump = np.sin(np.pi * np.arange(length) / length) ** 2 * random.uniform(0.4, 1.0)
        fine[at : at + length] = bump[: len(fine) - at]
        at += length + int(random.integers(0, 80))
    return fine[::40]


def drawn(opening: np.ndarray, skin: int) -> list[np.ndarray]:
    """uint8 [256, 256, 3] a frame."""
    frames = []
    for value in opening:
        frame = np.full((256, 256, 3), skin, np.uint8)
        cv2.ellipse(frame, MOUTH, (26, 4 + int(22 * value)), 0, 0, 360, (40, 10, 10), -1)
        frames.append(frame)
    return frames


def heard(opening: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """int16 [N]: a voice as loud as the mouth is open, brighter where it is more so."""
    time = np.arange(len(opening) * SAMPLES_PER_FRAME) / SAMPLE_RATE
    loud = np.interp(time * 25, np.arange(len(opening)), opening)
    pitch = 110 + 30 * random.random()
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(7 * time))) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) * loud ** (1 + k / 12) / k for k in range(1, 24))
    noisy = 0.2 * voice * loud + 0.002 * random.standard_normal(len(time))
    return (np.clip(noisy, -1, 1) * 32000).astype(np.int16)
