"""Faces registered by the eyes alone, clip by clip, and their flow (Ephrat et al. 2017, 3.1).

The paper brings each frame of a clip to the clip's central one by the similarity of two pairs of
points, the eyes. Similarities of two points are a group: frame t to frame c is frame t to a *level*
picture (eyes at fixed places), and then from there to c. So each frame is warped to the level
picture once, one field of flow there serves all nine clips that see the pair, and what is left, the
way from level to the central frame (`back`), is the same for all nine frames of a clip and is done
on the device (`training/layers/clips_by_eyes.py`). Flow turns and grows with a picture, so its
vectors take the linear part of that way.

`canonical` leaves all that out: the window `ephrat` of the canonical face, which a build registers
by nose and eyes, smoothed; one fixed pose, and `back` is the identity.

Legend: T frames, H x W pixels of the crop. Transforms are [2, 3] from (x, y, 1) to (x, y); pixel
centres are whole numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from manifests.crops import CANVAS_PX, CROPS, EYE_CENTRE_PX, EYE_DISTANCE_PX, Crop, resized
from manifests.files import atomic_path
from manifests.shards import ShardError, ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.views import View

Registration = Literal["clip", "canonical"]
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
"""Of 68 points; the right one is on the left of the picture."""
LEVEL_EYES = np.array(EYE_CENTRE_PX) + np.array([[-0.5, 0.0], [0.5, 0.0]]) * EYE_DISTANCE_PX
"""Where they lie in the level picture, float64 [2, 2] px of the canonical canvas."""
VERSION = 1
"""Of what is kept in a cache."""


def eyes_of(landmarks: np.ndarray) -> np.ndarray:
    """Middles of the eyes, float64 [T, 2, 2] of (x, y), of 68 points [T, 68, 2]."""
    points = np.asarray(landmarks, np.float64)
    return np.stack([points[:, RIGHT_EYE].mean(1), points[:, LEFT_EYE].mean(1)], 1)


def similarity_of_two(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity float64 [T, 2, 3] that brings points [T, 2, 2] onto [T, 2, 2] (or [2, 2])
    exactly. Two pairs of points leave nothing over: as complex numbers z -> a z + b."""
    z, w = (
        np.asarray(p, np.float64)[..., 0] + 1j * np.asarray(p)[..., 1] for p in (source, target)
    )
    a = (w[..., 1] - w[..., 0]) / (z[..., 1] - z[..., 0])
    b = w[..., 0] - a * z[..., 0]
    rows = [np.stack([a.real, -a.imag, b.real], -1), np.stack([a.imag, a.real, b.imag], -1)]
    return np.stack(rows, -2)


def followed_by(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One after the other; [..., 2, 3], where one of them may serve all of the other."""
    return (_whole(second) @ _whole(first))[..., :2, :]


def _whole(matrices: np.ndarray) -> np.ndarray:
    """[..., 2, 3] -> [..., 3, 3]."""
    last = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (*matrices.shape[:-2], 1, 3))
    return np.concatenate([matrices, last], -2)


def inverse_of(matrices: np.ndarray) -> np.ndarray:
    """The way back, [..., 2, 3]."""
    return np.linalg.inv(_whole(matrices))[..., :2, :]


def window_of(crop: Crop, height_px: int) -> np.ndarray:
    """From the canonical canvas to a crop's pixels, [2, 3]."""
    height, width = crop.size(height_px)
    across, down = width / (crop.x1 - crop.x0), height / (crop.y1 - crop.y0)
    return np.array(
        [
            [across, 0, (0.5 - crop.x0) * across - 0.5],
            [0, down, (0.5 - crop.y0) * down - 0.5],
        ]
    )


@dataclass(frozen=True)
class Registered:
    """A span of frames as the network's layers take it."""

    level: np.ndarray
    """uint8 [T, H, W]."""
    flow: np.ndarray
    """float16 [T, H, W, 2]: (u, v) in pixels from each frame to the next; 0 behind the last one."""
    back: np.ndarray
    """float32 [T, 2, 3], from level pixels to those of the clip whose central frame it is."""

    def span(self, first: int, count: int) -> Registered:
        """Frames [first, first + count), as if the clip had no more; copies."""
        part = slice(first, first + count)
        flow = np.array(self.flow[part])
        flow[-1] = 0
        return Registered(np.array(self.level[part]), flow, np.array(self.back[part]))


def level_faces(faces: np.ndarray, eyes: np.ndarray, height_px: int) -> np.ndarray:
    """Grey canonical faces uint8 [T, 256, 256] with eyes [T, 2, 2] -> uint8 [T, H, W], by one
    interpolation; made smaller by the mean over areas first, for sampling would skip pixels."""
    crop = CROPS["ephrat"]
    height, width = crop.size(height_px)
    side = min(CANVAS_PX, round(CANVAS_PX * height / (crop.y1 - crop.y0)))
    small = resized(faces, side, side)
    share = side / CANVAS_PX
    grown = np.array([[1 / share, 0, 0.5 / share - 0.5], [0, 1 / share, 0.5 / share - 0.5]])
    ways = followed_by(similarity_of_two(eyes, LEVEL_EYES), window_of(crop, height_px))
    ways = followed_by(grown, ways)
    return np.stack(
        [
            cv2.warpAffine(
                face, way, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for face, way in zip(small, ways, strict=True)
        ]
    )


def ways_back(eyes: np.ndarray, height_px: int) -> np.ndarray:
    """`Registered.back`, float32 [T, 2, 3], of eyes [T, 2, 2] in the canonical canvas."""
    window = window_of(CROPS["ephrat"], height_px)
    there = similarity_of_two(np.broadcast_to(LEVEL_EYES, eyes.shape), eyes)
    return followed_by(followed_by(inverse_of(window), there), window).astype(np.float32)


def flow_of(pictures: np.ndarray) -> np.ndarray:
    """Dense flow from each of [T, H, W] uint8 to the next, float16 [T, H, W, 2], the last one 0.

    OpenCV's DIS, medium, where the paper has Liu's coarse-to-fine method by a wrapper of its own;
    each pair stands alone, so that a span of a clip has the same fields as the whole.
    """
    fields = np.zeros((*pictures.shape, 2), np.float16)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for t in range(len(pictures) - 1):
        field = np.zeros((*pictures.shape[1:], 2), np.float32)  # none is taken over from before
        fields[t] = method.calc(pictures[t], pictures[t + 1], field)
    return fields


def registered(
    pictures: np.ndarray, landmarks: np.ndarray | None, height_px: int, has_flow: bool = True
) -> Registered:
    """Of grey canonical faces uint8 [T, 256, 256] and their landmarks [T, 68, 2]; without
    landmarks, of pictures that are the crop already, as they are."""
    if landmarks is None:
        level = pictures
        back = np.tile(np.eye(2, 3, dtype=np.float32), (len(pictures), 1, 1))
    else:
        eyes = eyes_of(landmarks)
        level, back = level_faces(pictures, eyes, height_px), ways_back(eyes, height_px)
    empty = np.zeros((len(level), 1, 1, 2), np.float16)
    return Registered(level, flow_of(level) if has_flow else empty, back)


@dataclass(frozen=True)
class ByEyes:
    """What a model that registers by the eyes asks of a sample; `decode` is the loader's."""

    height_px: int
    num_frames: int | None
    """Frames of a window, those around the first and last central one included; None: all."""
    registration: Registration = "clip"
    pairing: Literal["raw", "corrected"] = "corrected"
    has_flow: bool = True
    sound: str | None = "ephrat"
    cache: Path | None = None
    """A folder for registered clips and their flow; they are made anew at each visit without."""

    @property
    def source(self) -> View:
        """The pictures that registration begins with."""
        if self.registration == "canonical":
            return View("ephrat", self.height_px, True, self.sound, self.num_frames, self.pairing)
        return View("face", None, True, self.sound, self.num_frames, self.pairing)

    def decode(self, sample: ShardSample, row: Row) -> Example:
        """As `View.decode`, with `video` uint8 [T, H, W], `flow` float16 and `back` float32 of
        `Registered`. Raises ShardError as that does, and for landmarks of another length."""
        clip = None if self.cache is None else kept(self, sample, self.cache)
        known = None if clip is None else clip.level
        example = dict(self.source.decode(sample, row, pictures=known))
        pictures, first = np.asarray(example["video"]), int(np.asarray(example["first_frame"]))
        if clip is None:
            made = self.made(sample, pictures, first)
        else:
            made = clip.span(first, len(pictures))
        return {**example, "video": made.level, "flow": made.flow, "back": made.back}

    def whole(self, sample: ShardSample) -> Registered:
        """All frames of a sample."""
        return self.made(sample, self.source.pictures(sample, 0, int(sample.facts["num_frames"])))

    def of_faces(self, pictures: np.ndarray, landmarks: np.ndarray | None) -> Registered:
        """Of what `source.seen` gives, and landmarks in the canonical canvas."""
        wanted = landmarks if self.registration == "clip" else None
        return registered(pictures, wanted, self.height_px, self.has_flow)

    def made(self, sample: ShardSample, pictures: np.ndarray, first: int = 0) -> Registered:
        """Of a span of a sample's pictures, from frame `first` on."""
        if self.registration == "canonical":
            return self.of_faces(pictures, None)
        points = sample.landmarks
        if len(points) != int(sample.facts["num_frames"]):
            raise ShardError(
                f"{sample.shard}: {sample.key} has landmarks of {len(points)} frames and pictures "
                f"of {sample.facts['num_frames']}"
            )
        return self.of_faces(pictures, points[first : first + len(pictures)])


KEPT = ("level", "flow", "back")
PICTURES = ("face.mp4", "frames.json", "frames.npy", "frames.mjpeg", "landmarks.npy")
"""Members that decide what is kept of a sample."""


def kept(view: ByEyes, sample: ShardSample, cache: Path) -> Registered:
    """The whole clip from the cache, where it is put if it is not there; named after what it is
    made of, so that another corpus, crop or registration never meets it."""
    said = f"{VERSION} {view.height_px} {view.registration} {view.has_flow} {cv2.__version__}"
    name = hashlib.sha256(said.encode())
    for member in PICTURES:
        content = sample.members.get(member, b"")
        name.update(f"{member} {len(content)} ".encode() + content)
    stem = cache / name.hexdigest()[:2] / name.hexdigest()
    paths = {word: stem.with_suffix(f".{word}.npy") for word in KEPT}
    if not paths[KEPT[-1]].exists():  # the last one that is written
        made = view.whole(sample)
        stem.parent.mkdir(parents=True, exist_ok=True)
        for word, path in paths.items():
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, getattr(made, word))
    return Registered(**{word: np.load(path, mmap_mode="r") for word, path in paths.items()})
