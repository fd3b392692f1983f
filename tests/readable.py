"""A small corpus whose shards hold real members, published as a build publishes them.

What its samples know differs on purpose, and in the worst order for a reader that takes types
from the first ones: texts, word times, lags, scores and interpolated frames come and go.
"""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from manifests import records as rec
from manifests.files import write_atomic
from manifests.media.encode import encode_flac, encode_video
from manifests.shards import ShardSample, write_samples
from stages.clips.render import sample_json
from tests.factories import Built, blank, fetched

FRAMES = 25
ALIGN = "0 12500 bin\n12500 25000 blue\n25000 50000 now\n"


def media() -> dict[str, bytes]:
    """One second of a moving square and a tone, and landmarks; the same bytes for every clip."""
    pictures = []
    for k in range(FRAMES):
        picture = np.full((256, 256, 3), 90, np.uint8)
        picture[100:140, 4 * k : 4 * k + 60] = (200, 160, 120)
        pictures.append(picture)
    tone = np.sin(np.arange(640 * FRAMES) * 0.2) * 9000
    points = io.BytesIO()
    np.save(points, np.linspace(0, 255, FRAMES * 136, dtype=np.float32).reshape(FRAMES, 68, 2))
    return {
        "face.mp4": encode_video(pictures)[0],
        "audio.flac": encode_flac(tone.astype(np.int16)),
        "landmarks.npy": points.getvalue(),
    }


class Readable(Built):
    """`count` videos of two clips each; `known` says by video's number what is known of it."""

    def __init__(
        self,
        root: Path,
        count: int,
        known=lambda number: number % 3 == 2,
        licence: str | None = None,
    ):
        self.known, self.members = known, media()
        folder = root.parent / "sources"
        (folder / "align").mkdir(parents=True, exist_ok=True)
        sources = []
        for number in range(count):
            if known(number):
                (folder / f"{number}.align").write_text(ALIGN)
            sources.append(fetched(f"v{number:02d}", folder / f"{number}.mpg", licence=licence))
        super().__init__(root, sources)

    def _clip(self, video: str, number: int) -> rec.Clip:
        clip = super()._clip(video, number)
        knows = self.known(int(video[1:]))
        clip = dataclasses.replace(
            clip,
            offset_status="measured" if knows else "undecided",
            video_lag_ms=-43.2 if knows else None,
            residual_status="measured" if knows else "undecided",
            residual_lag_ms=0.4 if knows else None,
            confidence=0.98 if knows else None,
            face_psnr_db=44.0,
            speech_share=0.9,
        )
        offset = blank(
            rec.Offset,
            offset_scope="track",
            estimator="lipsync-3",
            search_ms=700.0,
            reason=None if knows else "confidence 0.41 is low",
            raw_score=0.5 if knows else None,
            speaking_score=0.5 if knows else None,
        )
        is_interpolated = np.zeros(FRAMES, bool)
        is_interpolated[3:5] = knows
        facts = sample_json(clip, offset, is_interpolated)
        buffer = io.BytesIO()
        write_samples(
            buffer, [ShardSample(clip.clip_id, self.members | {"json": json.dumps(facts).encode()})]
        )
        write_atomic(self.files.folder / clip.payload_path, buffer.getvalue())
        return clip
