"""Every 5th frame with the sound around it, and stills from elsewhere in the clip (Chung et al.
2017, sections 2 and 3.2).

A sample of the paper is a frame; its tables count them as frames / 5. A clip's are the frames whose
index is 2 (mod 5), so that the one in the middle of each five counts, and whose 0.35 s of sound,
0.175 s to either side, lie inside the clip. Stills are frames at least 1 s away ("frames far from
actual audio/output image samples", figure 7; the second is inferred), drawn anew at each visit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME
from manifests.media.sound import shifted
from manifests.shards import ShardError, ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.sound_features import FEATURES
from training.data.views import Pairing, View

EVERY, FIRST = 5, 2
SIDE_S = 0.175
MARGIN_FRAMES = -int(-SIDE_S * float(FRAME_RATE) // 1)
"""Whole frames that a frame must be from both ends of its clip."""
AWAY_FRAMES = int(FRAME_RATE)
_GROUP_FRAMES = 25
"""A `face.mp4` begins anew so often."""


def middle_frames(num_frames: int, num_stills: int = 1) -> np.ndarray:
    """The frames of a clip that are samples, int [n]: in their places, with all of their sound, and
    with so many stills far enough away."""
    frames = np.arange(FIRST, num_frames, EVERY)
    frames = frames[(frames >= MARGIN_FRAMES) & (frames + MARGIN_FRAMES <= num_frames)]
    before = np.maximum(0, frames - AWAY_FRAMES + 1)
    behind = np.maximum(0, num_frames - frames - AWAY_FRAMES)
    return frames[before + behind >= num_stills]


def least_frames(num_stills: int) -> int:
    """The shortest clip that has a sample."""
    return next(n for n in range(1, 1000) if len(middle_frames(n, num_stills)))


def far_frames(num_frames: int, frame: int) -> np.ndarray:
    """Frames at least 1 s away from one, int [n]."""
    everything = np.arange(num_frames)
    return everything[np.abs(everything - frame) >= AWAY_FRAMES]


@dataclass(frozen=True)
class EveryFifth:
    """The view of a sample: some of its samples in the paper's sense, each with its stills."""

    crop: str = "speech2vid"
    height_px: int | None = None
    num_stills: int = 1
    frames_per_clip: int = 1
    """Of a visit; the paper's samples are frames alone."""
    pairing: Pairing = "corrected"
    sound: str | None = "speech2vid"

    @property
    def view(self) -> View:
        """Where pictures and lags come from."""
        return View(self.crop, self.height_px, False, self.sound, None, self.pairing)

    def decode(self, sample: ShardSample, row: Row) -> Example:
        """`video` uint8 [n, h, w, 3], `stills` uint8 [n, s, h, w, 3], `sound` float32 [n, 12, 35]
        and `frames` int64 [n]. A clip that has fewer samples gives some of them twice.

        Raises ShardError for a sample that is damaged, or too short for any.
        """
        num_frames = int(sample.facts["num_frames"])
        there = middle_frames(num_frames, self.num_stills)
        lag = 0 if self.sound is None else self.view.lag_of(sample)
        # Windows that would hear silence, because the sound was moved, if there are others.
        lost = -(-abs(lag) // SAMPLES_PER_FRAME)
        low, high = (lost, num_frames) if lag >= 0 else (0, num_frames - lost)
        kept = there[(there >= low + MARGIN_FRAMES) & (there + MARGIN_FRAMES <= high)]
        there = kept if len(kept) else there
        if not len(there):
            raise ShardError(
                f"{sample.shard}: {sample.key} has {num_frames} frames; {self.num_stills} stills 1 "
                f"s away need {least_frames(self.num_stills)}"
            )
        draw = row.random("frames")
        frames = np.sort(
            draw.choice(there, self.frames_per_clip, replace=len(there) < self.frames_per_clip)
        )
        stills = np.stack(
            [draw.choice(far_frames(num_frames, f), self.num_stills, replace=False) for f in frames]
        )
        pictures = pictures_at(self.view, sample, np.concatenate([frames, stills.ravel()]))
        example: dict[str, np.ndarray] = {
            "video": pictures[: len(frames)],
            "stills": pictures[len(frames) :].reshape(*stills.shape, *pictures.shape[1:]),
            "frames": frames,
        }
        if self.sound is not None:
            feature, heard = FEATURES[self.sound], shifted(sample.sound, lag)
            parts = [feature.of_window(heard, int(frame), 1) for frame in frames]
            example["sound"] = np.concatenate(parts)
        return example


def pictures_at(view: View, sample: ShardSample, frames: np.ndarray) -> np.ndarray:
    """The frames of these numbers, in any order and also twice; uint8 [n, h, w, 3]. Of each of the
    groups in which a `face.mp4` is coded only what is needed is decoded, and that once."""
    found: dict[int, np.ndarray] = {}
    for group in np.unique(frames // _GROUP_FRAMES):
        wanted = np.unique(frames[frames // _GROUP_FRAMES == group])
        first = int(wanted[0])
        span = view.pictures(sample, first, int(wanted[-1]) - first + 1)
        found |= {int(frame): span[int(frame) - first] for frame in wanted}
    return np.stack([found[int(frame)] for frame in frames])
