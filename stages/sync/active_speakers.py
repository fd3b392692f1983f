"""Active speaker detection: which of several faces in view speaks. Four ways to score them,
chosen by `sync.speaker`.

A score has its detector's own unit; higher speaks. A face leads if its score is `margin` above
the others', and faces within the margin of the best are ambiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.records import Track, Video
from stages.backends.weights import weights
from stages.sync.speech import share

MAX_FRAMES = 750
"""Half a minute of a face is enough to hear whether it speaks."""


@dataclass(frozen=True)
class FaceInView:
    """A track with what a detector may look at."""

    track: Track
    boxes: np.ndarray
    """float32 [T, 4] xyxy, source display px, NaN where not observed."""
    agreement: float | None
    """Height of the offset estimator's pooled peak."""
    start_frame: int
    end_frame: int
    """Span to judge, frames of the video: where this face and its rivals are in view."""


@dataclass(frozen=True)
class View:
    """What all faces share."""

    video: Video
    path: Path
    pcm: np.ndarray
    regions: list[tuple[int, int]]
    """Speech, half-open frame spans."""


class ActiveSpeakerDetector(Protocol):
    """Scores faces that are in view together by how well they go with the sound."""

    name: str
    version: str
    margin: float
    """Lead from which a face is taken for the speaker, in the unit of the scores."""

    def setup(self) -> None:
        """Load weights. Raises SetupError."""
        ...

    def scores(self, faces: Sequence[FaceInView], view: View) -> list[float]:
        """One score per face, higher speaks."""
        ...


class ByAgreement:
    """The peak of the landmark synchrony model: nothing to fetch, no picture decoded again."""

    name, version, margin = "lipsync", "1", 0.05

    def setup(self) -> None:
        """Nothing to load."""

    def scores(self, faces: Sequence[FaceInView], view: View) -> list[float]:
        return [f.agreement or 0.0 for f in faces]


class ByLightAsd:
    """Mean Light-ASD score over frames with speech (raw output, positive: speaks)."""

    name, version, margin = "light_asd", "1", 0.3
    weights_name = "light_asd_ava.model"

    @cached_property
    def _network(self):
        from stages.networks.light_asd import LightAsd

        return LightAsd.load(weights(self.weights_name))

    def setup(self) -> None:
        _ = self._network

    def scores(self, faces: Sequence[FaceInView], view: View) -> list[float]:
        from stages.faces.source_crops import gray_crops

        def score(face: FaceInView, start: int, end: int) -> float:
            crops = gray_crops(view.video, view.path, start, _boxes(face, start, end))
            found = self._network.scores(crops, _sound(view.pcm, start, end + 1))
            spoken = _spoken(view.regions, start, end)
            return float(found[spoken].mean() if spoken.any() else found.mean())

        return [_over_span(f, score) for f in faces]


class ByLrAsd(ByLightAsd):
    """Mean LR-ASD score over frames with speech (raw output, positive: speaks)."""

    name, version = "lr_asd", "1"
    weights_name = "lr_asd_talkset.model"

    @cached_property
    def _network(self):
        from stages.networks.lr_asd import LrAsd

        return LrAsd.load(weights(self.weights_name))


class BySyncNet:
    """SyncNet v2's confidence: median less least mean distance over offsets."""

    name, version, margin = "syncnet", "1", 0.5
    weights_name = "syncnet_v2.model"

    @cached_property
    def _network(self):
        from stages.networks.syncnet import SyncNet

        return SyncNet.load(weights(self.weights_name))

    def setup(self) -> None:
        _ = self._network

    def scores(self, faces: Sequence[FaceInView], view: View) -> list[float]:
        from stages.faces.source_crops import iter_crops

        def score(face: FaceInView, start: int, end: int) -> float:
            crops = iter_crops(view.video, view.path, start, _boxes(face, start, end))
            return self._network.measure(crops, _sound(view.pcm, start, end)).confidence

        return [_over_span(f, score) for f in faces]


def _over_span(face: FaceInView, score: Callable[[FaceInView, int, int], float]) -> float:
    """The score over the middle of the span; a face without room for a window has the least."""
    middle = (face.start_frame + face.end_frame) // 2
    start = max(face.start_frame, middle - MAX_FRAMES // 2)
    end = min(face.end_frame, start + MAX_FRAMES)
    return score(face, start, end) if end - start >= 6 else -np.inf


def _boxes(face: FaceInView, start: int, end: int) -> np.ndarray:
    return face.boxes[start - face.track.start_frame : end - face.track.start_frame]


def _sound(pcm: np.ndarray, start: int, end: int) -> np.ndarray:
    part = pcm[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
    return np.pad(part, (0, (end - start) * SAMPLES_PER_FRAME - len(part)))


def _spoken(regions: list[tuple[int, int]], start: int, end: int) -> np.ndarray:
    return np.array([share(regions, f, f + 1) > 0 for f in range(start, end)])


ACTIVE_SPEAKER_DETECTORS: dict[str, type[ActiveSpeakerDetector]] = {
    "lipsync": ByAgreement,
    "light_asd": ByLightAsd,
    "lr_asd": ByLrAsd,
    "syncnet": BySyncNet,
}
