"""Pictures and playable clips of the report, read back from the shards."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

import av
import cv2
import numpy as np

from manifests.corpus import Corpus

NUM_SHOWN, NUM_PLAYABLE = 12, 6
THUMBNAIL_PX = 256
PLAYABLE_BYTES = 1_800_000
NEAR = 0.7
"""A residual above this share of the threshold is worth a look."""


def choose(corpus: Corpus) -> list[dict[str, Any]]:
    """A spread of samples: one per speaker in turn, by hash, so the choice is fair and stable."""
    by_speaker: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(
        corpus.rows("samples"), key=lambda s: hashlib.sha256(s["clip_id"].encode()).digest()
    ):
        by_speaker.setdefault(row["speaker_id"], []).append(row)
    queues = [by_speaker[k] for k in sorted(by_speaker)]
    chosen: list[dict[str, Any]] = []
    while len(chosen) < NUM_SHOWN and any(queues):
        for queue in queues:
            if queue and len(chosen) < NUM_SHOWN:
                chosen.append(queue.pop(0))
    return chosen


def thumbnail(
    corpus: Corpus, sample: dict[str, Any], max_residual_px: float | None
) -> dict[str, Any]:
    """The middle frame with its 68 landmarks, as JPEG; `problem` says what is wrong with them:
    landmarks outside the picture in any frame, or a residual near the threshold."""
    found = corpus.sample(sample)
    frames, landmarks = found.faces(), found.landmarks
    middle = len(frames) // 2
    picture = cv2.cvtColor(frames[middle], cv2.COLOR_RGB2BGR)
    height, width = picture.shape[:2]
    for x, y in landmarks[middle]:
        cv2.circle(picture, (round(float(x)), round(float(y))), 2, (80, 255, 120), -1, cv2.LINE_AA)
    picture = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    residual_px = next(
        (
            c["registration_residual_px"]
            for c in corpus.rows("clips")
            if c["clip_id"] == sample["clip_id"]
        ),
        None,
    )
    return {
        "clip_id": sample["clip_id"],
        "note": f"frame {middle} of {len(frames)}",
        "problem": problem(
            np.asarray(landmarks),
            (width, height),
            residual_px,
            max_residual_px,
        ),
        "jpeg": base64.b64encode(jpeg.tobytes()).decode(),
    }


def problem(
    landmarks: np.ndarray,
    size: tuple[int, int],
    residual_px: float | None,
    max_residual_px: float | None,
) -> str:
    """What is to be looked at, in words; empty where all is well. `landmarks`: float [T, 68, 2],
    pixels; `size`: width and height of the picture."""
    said = []
    outside = np.atleast_1d(((landmarks < 0) | (landmarks > np.array(size) - 1)).any(axis=(1, 2)))
    if outside.any():
        said.append(f"landmarks leave the picture in {int(outside.sum())} of {len(outside)} frames")
    if residual_px is not None and max_residual_px and residual_px > NEAR * max_residual_px:
        said.append(f"residual {residual_px:.1f} px (threshold {max_residual_px:g})")
    return "; ".join(said)


def playable_within(
    corpus: Corpus, chosen: list[dict[str, Any]], most_bytes: int = PLAYABLE_BYTES
) -> list[dict[str, str]]:
    """Up to NUM_PLAYABLE of the chosen that fit together in `most_bytes`, the first that do."""
    made: list[dict[str, str]] = []
    for sample in chosen:
        if len(made) == NUM_PLAYABLE:
            break
        clip = playable(corpus, sample)
        if sum(len(c["mp4"]) for c in made) + len(clip["mp4"]) <= most_bytes:
            made.append(clip)
    return made


def playable(corpus: Corpus, sample: dict[str, Any]) -> dict[str, str]:
    """face.mp4 with audio.flac muxed in, nothing re-encoded."""
    members = corpus.sample(sample).members
    return {
        "clip_id": sample["clip_id"],
        "note": f"{sample['speaker_id']}, {sample['split']}",
        "mp4": muxed(members["face.mp4"], members["audio.flac"]),
    }


def muxed(face: bytes, sound: bytes) -> str:
    """An MP4 of a video file and a FLAC file as they are, base64."""
    return base64.b64encode(muxed_bytes(face, sound)).decode()


def muxed_bytes(face: bytes, sound: bytes) -> bytes:
    """An MP4 of a video file and a FLAC file as they are."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(face), "r") as video,
        av.open(io.BytesIO(sound), "r") as audio,
        av.open(buffer, "w", format="mp4") as output,
    ):
        tracks = [
            (video, output.add_stream_from_template(video.streams.video[0])),
            (audio, output.add_stream_from_template(audio.streams.audio[0])),
        ]
        for container, stream in tracks:
            for packet in container.demux():
                if packet.dts is None:
                    continue
                packet.stream = stream
                output.mux(packet)
    return buffer.getvalue()
