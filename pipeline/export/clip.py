"""One clip as exports see it: what is known of it, its pictures and sound, and names for paths."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import av
import cv2
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLE_RATE
from manifests.crops import CANVAS_PX, CROPS, resized
from manifests.media.encode import encode_video
from manifests.sample_json import known
from manifests.shards import ShardSample

JPEG_QUALITY = 95
JAW, BROWS, CHIN = slice(0, 17), slice(17, 27), 8


@dataclass(frozen=True)
class Clip:
    """A sample of a corpus; what it lacks is None."""

    sample: ShardSample

    @property
    def key(self) -> str:
        return safe(self.sample.key)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Its `json`, numbers as numbers and no value as None."""
        return known(self.sample.facts)

    @property
    def split(self) -> str:
        return safe(self.facts.get("split") or "train")

    @property
    def video(self) -> str:
        return safe(self.facts.get("video_id") or self.key)

    @property
    def speaker(self) -> str:
        return safe(self.facts.get("speaker_id") or "unknown")

    @property
    def num_frames(self) -> int:
        return int(self.facts["num_frames"])

    @property
    def text(self) -> str | None:
        """In one line."""
        text = " ".join((self.facts.get("text") or "").split())
        return text or None

    @cached_property
    def sound(self) -> np.ndarray:
        """int16 [640 T] at 16 kHz."""
        return self.sample.sound

    def pictures(self, crop: str) -> np.ndarray:
        """uint8 [T, H, W, 3] RGB of a window of `manifests.crops.CROPS`."""
        window = CROPS[crop]
        return resized(self._faces[:, *window.rows_columns], *window.size())

    @cached_property
    def _faces(self) -> np.ndarray:
        return self.sample.faces()

    def detected(self) -> np.ndarray:
        """uint8 [T, H, W, 3]: what a detector's box would hold, from forehead to chin and from
        cheek to cheek, one box for the whole clip (the median over its landmarks)."""
        x0, y0, x1, y1 = face_box(self.sample.landmarks)
        return self._faces[:, y0:y1, x0:x1]


def face_box(landmarks: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in the canonical picture, from float32 [T, 68, 2] px. The top is
    as far above the brows as a third of the way from brows to chin."""
    middle = np.median(landmarks, axis=0)
    left, right = middle[JAW, 0].min(), middle[JAW, 0].max()
    brow, chin = middle[BROWS, 1].min(), middle[JAW, 1].max()
    top = brow - (chin - brow) / 3
    box = np.clip(np.rint([left, top, right, chin]), 0, CANVAS_PX).astype(int)
    if box[2] - box[0] < 16 or box[3] - box[1] < 16:  # landmarks that are no face
        return 0, 0, CANVAS_PX, CANVAS_PX
    return int(box[0]), int(box[1]), int(box[2]), int(box[3])


def safe(name: str, most: int = 80) -> str:
    """A name that is one part of a path on any system: letters, digits, `-` and `_`; where that
    changes it, with a hash, so that two names stay two."""
    made = re.sub(r"[^A-Za-z0-9_-]", "_", name).lstrip("-_")[:most]
    if made == name:
        return name
    return f"{made or 'x'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def jpegs(frames: np.ndarray) -> list[bytes]:
    """A JPEG for each of uint8 [T, H, W, 3] RGB."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return [cv2.imencode(".jpg", frame[..., ::-1], settings)[1].tobytes() for frame in frames]


def wav(sound: np.ndarray) -> bytes:
    """16-bit mono WAV of int16 [N] at 16 kHz."""
    import wave

    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.ascontiguousarray(sound, "<i2").tobytes())
    return content.getvalue()


def mp4(frames: np.ndarray) -> bytes:
    """H.264 at 25 frames/s of uint8 [T, H, W, 3] RGB, without sound."""
    return encode_video(list(frames))[0]


def with_sound(content: bytes, sound: np.ndarray) -> bytes:
    """An MP4's pictures, packet by packet, and int16 [N] at 16 kHz as FLAC, both from zero.

    FLAC has no priming and the file no edit list: a reader that ignores edit lists, as OpenCV's
    and many loaders are, hears no sound late, which it does of AAC (64 ms at this rate).
    """
    made = io.BytesIO()
    with (
        av.open(io.BytesIO(content), "r") as source,
        av.open(made, "w", format="mp4", options={"use_editlist": "0"}) as out,
    ):
        pictures = out.add_stream_from_template(source.streams.video[0])
        track = out.add_stream("flac", rate=SAMPLE_RATE)
        assert isinstance(track, av.AudioStream)
        track.layout = "mono"
        packets = [p for p in source.demux(video=0) if p.size]
        spoken = _sound_packets(track, sound)
        for packet in sorted([*packets, *spoken], key=_second):
            if packet.stream is not track:
                packet.stream = pictures
            out.mux(packet)
    return made.getvalue()


def _second(packet: av.Packet) -> Fraction:
    base = packet.time_base or Fraction(1)
    return (packet.dts or 0) * base


def _sound_packets(track: av.AudioStream, sound: np.ndarray) -> list[av.Packet]:
    packets = []
    for start in range(0, len(sound), 4096):
        block = np.ascontiguousarray(sound[None, start : start + 4096])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        packets += track.encode(frame)
    return packets + track.encode(None)


def lines(rows: Sequence[str]) -> bytes:
    """A list file; nothing for no rows."""
    return "".join(f"{row}\n" for row in rows).encode()


def seconds(frame: int) -> float:
    return float(frame / FRAME_RATE)
