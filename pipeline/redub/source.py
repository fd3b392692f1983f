"""What is redubbed: the pictures of a video at their own times, or one still; and whose face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from manifests.clock import FRAME_RATE, Clock, nearest_indices
from manifests.media.encode import encode_video
from manifests.media.pictures import iter_pictures, iter_shown
from manifests.plain_words import sentence
from manifests.records import Video
from pipeline.config.build_config import BuildConfig
from pipeline.scoring.clip_faces import open_clip
from pipeline.synthesis.people import MIN_FRAMES, NoFaceError, Person, people_of
from stages.faces import registration
from training.data.views import View

STILLS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MAX_STILL_PX = 8192
HALF_FRAME_US = 20_000


class Source(Protocol):
    """Pictures with times, and the face in them."""

    @property
    def times_us(self) -> Sequence[int]:
        """Of all pictures, from the first one, which is at 0 in a still and near it in a video."""

    @property
    def end_us(self) -> int:
        """Where the last picture ends."""

    @property
    def rate(self) -> Fraction:
        """Mean pictures a second."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright, square pixels."""

    def pictures(self) -> Iterator[np.ndarray]:
        """uint8 [H, W, 3] RGB of each time."""

    def matrices(self) -> list[np.ndarray | None]:
        """Of each picture, from its pixels to the canonical frame; None where the face is not."""

    def stills(self, count: int, view: View) -> np.ndarray:
        """uint8 [count, h, w, 3] of the face as a model takes them."""


@dataclass
class VideoSource:
    """A video and one of its people."""

    video: Video
    path: Path
    person: Person

    def __post_init__(self) -> None:
        self.times_us = [time for time, _ in iter_shown(self.video, self.path)]
        self.rate = Fraction(self.video.source_fps or FRAME_RATE)
        self.end_us = max(self.times_us[-1] + round(1e6 / self.rate), self.video.duration_us)
        self.size = (self.video.height_px, self.video.width_px)

    def pictures(self) -> Iterator[np.ndarray]:
        for _, picture in iter_shown(self.video, self.path):
            yield picture.rgb()

    def matrices(self) -> list[np.ndarray | None]:
        """The canonical clock shows a picture as one frame, several or none: a picture has its
        frames' mean matrix, and one that was passed over lies between its neighbours'."""
        shown = nearest_indices(self.times_us, Clock(0), self.video.num_frames)
        times = np.array(self.times_us)
        found: list[np.ndarray | None] = [None] * len(times)
        for span in self.person.spans:
            index = np.array(shown[span.start : span.end])
            knots = np.unique(index)
            known = np.stack([span.matrices[index == knot].mean(0) for knot in knots])
            low, high = times[knots[0]] - HALF_FRAME_US, times[knots[-1]] + HALF_FRAME_US
            for number in np.flatnonzero((times >= low) & (times <= high)):
                if found[number] is None:
                    found[number] = _between(times[knots], known, int(times[number]))
        return found

    def stills(self, count: int, view: View) -> np.ndarray:
        """Spread evenly over the time in which the face is seen (inferred; 4.3: "still images from
        the source video")."""
        places = [
            (span.start + i, matrix)
            for span in self.person.spans
            for i, matrix in enumerate(span.matrices)
        ]
        chosen = [places[round((i + 0.5) / count * len(places) - 0.5)] for i in range(count)]
        faces = []
        for frame, matrix in chosen:
            _, picture = next(iter_pictures(self.video, self.path, frame, frame + 1))
            faces.append(registration.warp(picture.rgb(), matrix))
        return view.seen(np.stack(faces))


def _between(times: np.ndarray, matrices: np.ndarray, time: int) -> np.ndarray:
    flat = matrices.reshape(len(times), -1)
    return np.array([np.interp(time, times, values) for values in flat.T]).reshape(2, 3)


@dataclass
class StillSource:
    """One picture that is held as long as the sound lasts, 25 times a second."""

    picture: np.ndarray
    matrix: np.ndarray
    num_pictures: int

    def __post_init__(self) -> None:
        self.times_us = [40_000 * i for i in range(self.num_pictures)]
        self.rate, self.end_us = FRAME_RATE, 40_000 * self.num_pictures
        self.size = self.picture.shape[:2]

    def pictures(self) -> Iterator[np.ndarray]:
        for _ in self.times_us:
            yield self.picture

    def matrices(self) -> list[np.ndarray | None]:
        return [self.matrix] * self.num_pictures

    def stills(self, count: int, view: View) -> np.ndarray:
        """The same one, as often as asked for."""
        return np.repeat(view.seen(registration.warp(self.picture, self.matrix)[None]), count, 0)


def is_still(path: Path) -> bool:
    """By its name's end."""
    return path.suffix.lower() in STILLS


def read_still(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned as its EXIF says. Raises ValueError."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except cv2.error as error:
        raise ValueError(f"{path} cannot be read: {sentence(error)}") from None
    if picture is None:
        raise ValueError(f"{path} is no picture that can be read; give a PNG or a JPEG")
    if max(picture.shape) > MAX_STILL_PX:
        raise ValueError(f"{path} is over {MAX_STILL_PX} px; make it smaller")
    return np.ascontiguousarray(picture[..., ::-1])


def people_of_still(picture: np.ndarray, work: Path, config: BuildConfig) -> list[Person]:
    """As `people_of`, of a picture: it is looked at as a short video of nothing else, so that a
    face is found by the same rules. Raises NoFaceError."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    silent = work / "still-silent.mp4"
    silent.write_bytes(encode_video([even] * (2 * MIN_FRAMES))[0])
    video, _ = open_clip(silent, work)
    return people_of(video, work, config)


def still_of(picture: np.ndarray, person: Person, num_pictures: int) -> StillSource:
    """Of one of its people. Raises NoFaceError where nothing is to be said."""
    if num_pictures < 1:
        raise NoFaceError("the sound is empty: there is nothing to say")
    matrices = np.concatenate([span.matrices for span in person.spans])
    return StillSource(picture, matrices.mean(0), num_pictures)
