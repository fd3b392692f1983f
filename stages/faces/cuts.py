"""Cuts on the canonical clock: PySceneDetect's detectors, and a jump detector of our own.

PySceneDetect finds cuts between different scenes. Between two recordings in front of the same
background it misses a good part, so a jump of the picture is a cut too: one frame's change
stands out from all changes of the frames around it (motion does not, it lasts).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from manifests.clock import FRAME_RATE
from manifests.records import col

LOOKAHEAD_FRAMES = 5
LOOK_BACK_FRAMES = 12
SMALL_PX = 160
HELD_CHANGE = 0.15
"""Mean luma change, of 255, under which a frame repeats the one before, give or take coding."""


@dataclass(frozen=True)
class CutConfig:
    """Which detectors say where a shot ends."""

    detectors: list[Literal["content", "adaptive", "histogram"]] = col(
        "PySceneDetect's detectors, any of which makes a cut",
        default_factory=lambda: ["content", "adaptive"],
    )
    content_threshold: float = col("mean HSV change of a cut", at_least=0, default=27.0)
    adaptive_threshold: float = col("ratio to the neighbours' change", at_least=0, default=3.0)
    histogram_threshold: float = col(
        "difference of luma histograms (Speech2Vid, section 2)", at_least=0, default=0.2
    )
    min_shot_frames: int = col("shortest shot", "frame", at_least=1, default=5)
    find_jumps: bool = col("also cut where one frame's change stands alone", default=True)
    jump_ratio: float = col(
        "change over the largest of the neighbours' changes", at_least=0, default=2.0
    )
    jump_min: float = col("smallest mean luma change of a jump", "of 255", at_least=0, default=1.8)

    def __post_init__(self) -> None:
        if not self.detectors:
            raise ValueError(
                "detectors must name at least one of content, adaptive, histogram, not []"
            )


class ColourChange:
    """PySceneDetect's score of a frame, once for all its detectors: the mean change of hue,
    saturation and value, each 0..255."""

    def __init__(self) -> None:
        self._frame = -1
        self._last: np.ndarray | None = None
        self._score = 0.0

    def score(self, frame: int, rgb: np.ndarray) -> float:
        """Of RGB uint8 [h, w, 3] against the frame before; 0 for the first."""
        if frame != self._frame:
            colours = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
            if self._last is not None:
                self._score = cv2.norm(colours, self._last, cv2.NORM_L1) / colours.size
            self._frame, self._last = frame, colours
        return self._score


class _OneScore:
    """A detector of PySceneDetect that asks `change` instead of measuring by itself."""

    def __init__(self, change: ColourChange, **settings: Any) -> None:
        super().__init__(**settings)
        self._change = change

    def _calculate_frame_score(self, timecode: Any, frame_img: np.ndarray) -> float:
        return self._change.score(timecode.frame_num, frame_img)


class CutFinder:
    """Feed every frame with `push`; `jumps` fills as they are known, `finish` gives all cuts."""

    def __init__(self, config: CutConfig, rate: float = float(FRAME_RATE)) -> None:
        from scenedetect import detectors

        class Content(_OneScore, detectors.ContentDetector): ...

        class Adaptive(_OneScore, detectors.AdaptiveDetector): ...

        self.config, self.rate = config, rate
        length, change = config.min_shot_frames, ColourChange()
        makers = {
            "content": lambda: Content(
                change, threshold=config.content_threshold, min_scene_len=length
            ),
            "adaptive": lambda: Adaptive(
                change, adaptive_threshold=config.adaptive_threshold, min_scene_len=length
            ),
            "histogram": lambda: detectors.HistogramDetector(
                threshold=config.histogram_threshold, min_scene_len=length
            ),
        }
        self._detectors = [makers[name]() for name in config.detectors]
        self._found: set[int] = set()
        self._changes: deque[tuple[int, float]] = deque(
            maxlen=LOOK_BACK_FRAMES + 1 + LOOKAHEAD_FRAMES
        )
        self._last: np.ndarray | None = None
        self._count, self._was_held = 0, False
        self.jumps: list[int] = []

    def push(self, frame: int, small_rgb: np.ndarray, small_luma: np.ndarray) -> None:
        """uint8 [h, w, 3] and [h, w], about 160 px wide."""
        from scenedetect import FrameTimecode

        stamp = FrameTimecode(frame, fps=self.rate)
        for detector in self._detectors:
            ours = isinstance(detector, _OneScore)  # others of PySceneDetect's want BGR
            shown = small_rgb if ours else np.ascontiguousarray(small_rgb[..., ::-1])
            found = detector.process_frame(stamp, shown)
            self._found.update(self._number(c) for c in found)
        luma = small_luma.astype(np.int16)
        if self._last is not None:
            change = float(np.abs(luma - self._last).mean())
            # A source picture shown twice moves twice as far to the next one.
            self._changes.append((frame, change / (2 if self._was_held else 1)))
            self._was_held = change < HELD_CHANGE
            self._judge()
        self._last, self._count = luma, frame + 1

    @staticmethod
    def _number(timecode) -> int:
        return timecode.frame_num if hasattr(timecode, "frame_num") else timecode.get_frames()

    def _judge(self) -> None:
        if self.config.find_jumps and len(self._changes) > LOOKAHEAD_FRAMES:
            self._judge_at(len(self._changes) - 1 - LOOKAHEAD_FRAMES)

    def _judge_at(self, index: int) -> None:
        frame, change = self._changes[index]
        around = [c for i, (_, c) in enumerate(self._changes) if i != index]
        if (
            around
            and change >= self.config.jump_min
            and (change >= self.config.jump_ratio * max(around))
        ):
            self.jumps.append(frame)

    def known_until(self, frame: int) -> bool:
        """Whether jumps up to and including `frame` are decided."""
        return self._count > frame + LOOKAHEAD_FRAMES

    def finish(self) -> list[int]:
        """All cuts in order: the first frame of every shot but the first."""
        if self.config.find_jumps:
            size = len(self._changes)
            for index in range(max(0, size - LOOKAHEAD_FRAMES), size):
                self._judge_at(index)
        from scenedetect import FrameTimecode

        end = FrameTimecode(max(self._count - 1, 0), fps=self.rate)
        for detector in self._detectors:
            self._found.update(self._number(c) for c in detector.post_process(end))
        return merge_cuts(self.jumps, self._found, self._count, self.config.min_shot_frames)


def merge_cuts(jumps, others, num_frames: int, min_shot_frames: int) -> list[int]:
    """Sorted cuts at least `min_shot_frames` apart; a jump wins over a neighbour's guess."""
    kept: list[int] = []
    for cut in [*sorted(set(jumps)), *sorted(set(others) - set(jumps))]:
        far = all(abs(cut - other) >= min_shot_frames for other in kept)
        if far and 0 < cut < num_frames:
            kept.append(cut)
    return sorted(kept)
