"""Identity: which tracks show a usable face, and whose it is.

Faces that are small, blurred or turned away are rejected with the measured value and the
threshold; with `target` photos only that person is kept (YLD, Lip2Speech section on data).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from manifests.files import sha256_of
from manifests.paths import as_path, as_text
from manifests.records import Identity, Reject, Track, col
from stages.backends import registry
from stages.backends.protocols import Embedder
from stages.base import Context, Resources, Stage, above, below
from stages.faces.chips import face_chips
from stages.faces.people import EmbedderName
from stages.faces.track_faces import TrackChips


@dataclass(frozen=True)
class IdentityConfig:
    """Which faces are good enough, and whom to keep."""

    embedder: EmbedderName = col("identity embedding", default="dlib_resnet")
    device: Literal["cpu", "cuda"] = col("where the embedding runs", default="cpu")
    min_frames: int = col("shortest track", "frame", at_least=1, default=25)
    min_face_px: float = col("smallest longer side of the face box", "px", at_least=0, default=40.0)
    min_sharpness: float = col(
        "least variance of the Laplacian on the face chip", at_least=0, default=8.0
    )
    max_yaw_deg: float = col("most turned head", "deg", at_least=0, default=65.0)
    max_pitch_deg: float = col("most raised or lowered head", "deg", at_least=0, default=40.0)
    min_score: float = col("least mean detector score", default=0.0)
    target: list[str] = col("photos of the one person to keep", default_factory=list)
    target_distance: float = col(
        "farthest embedding still taken as the target, in dlib_resnet's unit",
        at_least=0,
        default=0.55,
    )


class PhotoError(ValueError):
    """A target photo that shows no face, or several, or nothing."""


def face_of_photo(photo: str) -> tuple[np.ndarray, np.ndarray]:
    """RGB of a target photo, at most 1000 px, and the box of its one face. Raises PhotoError.

    Needs no weights, so that a build can try its photos before any work.
    """
    import cv2

    try:
        content = np.frombuffer(as_path(photo).read_bytes(), np.uint8)
    except OSError:
        content = np.empty(0, np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if picture is None:
        raise PhotoError(f"the photo {photo} cannot be read as a picture; give a JPEG or PNG file")
    picture = np.ascontiguousarray(picture[..., ::-1])
    scale = min(1.0, 1000 / max(picture.shape))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    boxes, _ = registry.make(registry.DETECTORS, "dlib_hog").detect([picture])[0]
    if len(boxes) != 1:
        raise PhotoError(
            f"the photo {photo} shows {len(boxes)} faces; give one with exactly one, frontal"
        )
    return picture, boxes


def face_embedding(photo: str, embedder: Embedder) -> np.ndarray:
    """float32 [D]: the one face of a photo, by an embedder that is set up. Raises PhotoError."""
    picture, boxes = face_of_photo(photo)
    points = registry.make(registry.LANDMARKERS, "dlib_68").fit(picture, boxes)[0]
    chips = getattr(face_chips(picture, points), embedder.chips)
    return embedder.embed(chips[None])[0]


class Identify(Stage[Track, Identity]):
    """A quality gate, then a mean embedding per track."""

    name = "identity"
    version = 2
    reasons = frozenset(
        {"too_brief", "small_face", "blurred", "turned", "low_score", "not_target", "no_chip"}
    )
    resources = Resources(memory_gb=4.0, timeout_s=300.0)

    @classmethod
    def devices(cls, config: IdentityConfig) -> dict[str, str]:
        return {"device": config.device}

    @classmethod
    def check(cls, config: IdentityConfig) -> None:
        for photo in config.target:
            face_of_photo(photo)

    @classmethod
    def check_here(cls, config: IdentityConfig) -> None:
        registry.check_at_hand(registry.EMBEDDERS, config.embedder)

    def setup(self) -> None:
        self.embedder, self.unit = registry.ready_embedder(self.config.embedder, self.config.device)
        self.targets = [
            (photo, face_embedding(photo, self.embedder)) for photo in self.config.target
        ]

    def fingerprint(self) -> dict[str, str]:
        photos = {
            Path(photo).name: sha256_of(as_path(photo))
            for photo in self.config.target
            if as_path(photo).exists()
        }
        return {
            "embedder": registry.fingerprint(registry.EMBEDDERS, self.config.embedder),
            **photos,
        }

    def process(self, batch: Sequence[Track], context: Context) -> list[list[Identity] | Reject]:
        return [self._one(track, context) for track in batch]

    def _one(self, track: Track, context: Context) -> list[Identity] | Reject:
        if (reject := self._judge(track)) is not None:
            return reject
        taken = TrackChips.load(track, context.work)
        vectors = taken.embeddings
        if taken.embedder.item() != self.embedder.name:
            # Ten chips say who it is; more only cost.
            chips = taken.of(self.embedder.chips)
            chosen = np.linspace(0, len(chips) - 1, min(len(chips), 10)).astype(int)
            vectors = self.embedder.embed(chips[chosen])
        if not len(vectors):
            return Reject("no_chip", 0, 1, "no face chip was taken from the track")
        mean = vectors.mean(0)
        distance, photo = None, None
        if self.targets:
            photo, distance = min(
                ((p, float(np.linalg.norm(mean - e))) for p, e in self.targets),
                key=lambda pair: pair[1],
            )
            if distance > self.config.target_distance * self.unit:
                return Reject(
                    "not_target",
                    distance,
                    self.config.target_distance * self.unit,
                    f"nearest photo: {as_text(Path(photo).name)}",
                )
        return [
            Identity(
                track.track_id,
                track.video_id,
                track.shot_id,
                f"{self.embedder.name}-{self.embedder.version}",
                [round(float(v), 6) for v in mean],
                len(vectors),
                distance,
                None if photo is None else as_text(Path(photo).name),
            )
        ]

    def _judge(self, track: Track) -> Reject | None:
        limits = self.config
        length = track.end_frame - track.start_frame
        return (
            below("too_brief", length, limits.min_frames, "frames with the face")
            or below(
                "small_face", track.median_box_px, limits.min_face_px, "pixels of the face box"
            )
            or below("blurred", track.sharpness, limits.min_sharpness, "variance of the Laplacian")
            or above("turned", abs(track.yaw_deg), limits.max_yaw_deg, "degrees of yaw")
            or above("turned", abs(track.pitch_deg), limits.max_pitch_deg, "degrees of pitch")
            or below("low_score", track.mean_score, limits.min_score, "detector score")
        )
