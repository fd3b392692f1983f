"""What the videos of one worker share: a network loaded once, and batches filled from all of them.

Every batch has one size and one of a few shapes, the rest of it black: a picture's shape depends
on the picture alone, so its boxes do not depend on which pictures it is batched with.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from stages.backends import registry
from stages.backends.batching import Batcher
from stages.backends.fan import fit_in_batches
from stages.backends.letterbox import Batch, letterbox

CANVAS_STEP = 128
"""Sides of a letterbox are multiples of this: few shapes, which whole batches share."""


class Sharing:
    """One for a worker process; `pictures` go to a network at a time."""

    def __init__(self, pictures: int, wait_s: float = 0.2) -> None:
        self.batcher = Batcher(pictures, wait_s)
        self._networks: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def video(self) -> AbstractContextManager[None]:
        """Around the work on one video, in its thread."""
        return self.batcher.video()

    def cpu_s(self) -> float:
        """CPU seconds that networks spent for this thread."""
        return self.batcher.cpu_s()

    def detector(self, name: str, device: str) -> Any:
        """A detector for one video: batched with the others', or its own where its network takes
        one picture at a time. Raises ValueError, SetupError."""
        kind = registry.DETECTORS.get(name)
        if not getattr(kind, "batched", False):
            return registry.make(registry.DETECTORS, name, device=device)
        return SharedDetector(self._one(registry.DETECTORS, name, device), self.batcher)

    def landmarker(self, name: str, device: str) -> Any:
        """As `detector`. Raises ValueError, SetupError."""
        kind = registry.LANDMARKERS.get(name)
        if not getattr(kind, "batched", False):
            return registry.make(registry.LANDMARKERS, name, device=device)
        return SharedLandmarker(self._one(registry.LANDMARKERS, name, device), self.batcher)

    def _one(self, table: Mapping[str, type], name: str, device: str) -> Any:
        with self._lock:
            if (name, device) not in self._networks:
                self._networks[name, device] = registry.make(table, name, device=device)
            return self._networks[name, device]


class SharedDetector:
    """A `protocols.Detector` for one video, in front of a network that several share."""

    whole_picture = batched = True

    def __init__(self, network: Any, batcher: Batcher) -> None:
        self.network, self.batcher = network, batcher
        self.name, self.version = network.name, network.version
        self.batch_size, self.house = network.batch_size, network.house
        self.min_score, self.keep_score = network.min_score, network.keep_score
        self.threshold = network.keep_score
        self.network_s = 0.0
        """The network's share of the last call, s."""

    def setup(self) -> None:
        """Load the network if nobody has. Raises SetupError. One thread at a time."""
        self.network.setup()

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        items: dict[tuple, list] = {}
        for i, picture in enumerate(pictures):
            boxed = letterbox([picture], self.network.side_px, step=CANVAS_STEP)
            items.setdefault(boxed.pictures.shape[1:], []).append(
                (i, boxed.pictures[0], boxed.scales[0], self.threshold)
            )
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.network_s = 0.0
        for shape, own in items.items():
            made, took = self.batcher.submit((id(self.network), shape), self._run, own)
            self.network_s += took
            found |= {item[0]: result for item, result in zip(own, made, strict=True)}
        return [found[i] for i in range(len(pictures))]

    def _run(self, items: list) -> list[tuple[np.ndarray, np.ndarray]]:
        pictures = np.zeros((self.batcher.size, *items[0][1].shape), np.uint8)
        scales = np.ones(self.batcher.size, np.float32)
        for i, (_, picture, scale, _) in enumerate(items):
            pictures[i], scales[i] = picture, scale
        found = self.network.run(Batch(pictures, scales), min(item[3] for item in items))
        # Suppression goes from the best score down, so boxes below a threshold changed nothing.
        return [
            (boxes[scores >= item[3]], scores[scores >= item[3]])
            for item, (boxes, scores) in zip(items, found, strict=False)
        ]


class SharedLandmarker:
    """A batched `protocols.Landmarker` for one video, in front of a shared network."""

    batched, gathered = True, 1

    def __init__(self, network: Any, batcher: Batcher) -> None:
        self.network, self.batcher = network, batcher
        self.name, self.version, self.in_colour = network.name, network.version, network.in_colour
        self.network_s = 0.0

    def setup(self) -> None:
        """Load the network if nobody has. Raises SetupError. One thread at a time."""
        self.network.setup()

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return self.fit_many([picture] * len(boxes), boxes)

    def fit_many(self, pictures: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        self.network_s = 0.0
        return fit_in_batches(pictures, boxes, self.network.batch_size, self._places)

    def _places(self, crops: np.ndarray) -> np.ndarray:
        made, took = self.batcher.submit(
            (id(self.network), crops.shape[1:]), self._run, list(crops)
        )
        self.network_s += took
        return np.stack(made)

    def _run(self, items: list) -> list[np.ndarray]:
        crops = np.zeros((self.batcher.size, *items[0].shape), np.uint8)
        crops[: len(items)] = items
        return list(self.network.places(crops)[: len(items)])
