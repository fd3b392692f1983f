"""Where there is speech: silero-vad, its weights inside the package, one thread."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.spectra import windows
from stages.backends.devices import onnx_session
from stages.base import SetupError

STEP, BEFORE = 512, 64
"""Samples that one probability is of, and those before them that the network hears too."""
AT_ONCE = 512
RELEASE = 0.15
"""Speech ends where the probability falls this much below where it begins."""
LEAST_SAMPLES, PAD_SAMPLES = SAMPLE_RATE * 120 // 1000, SAMPLE_RATE * 30 // 1000
"""Shortest speech and shortest pause, 120 ms, and what is added at both ends, 30 ms."""


class SpeechDetector:
    """Voice activity on the canonical clock.

    The package's network for whole recordings, run by onnxruntime: the same numbers as step by
    step, and torch is not needed for them.
    """

    name = "silero-vad"

    def __init__(self, threshold: float = 0.5) -> None:
        # Located, not imported: importing the package loads torch.
        found = importlib.util.find_spec("silero_vad")
        if found is None or found.origin is None:
            raise SetupError("the package silero-vad is missing; run `make setup`")
        path = Path(found.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
        if not path.exists():
            raise SetupError(f"{path} is missing; run `make setup`")
        self.threshold = threshold
        self._session = onnx_session(path, "cpu")

    def probabilities(self, pcm: np.ndarray) -> np.ndarray:
        """int16 [N] at 16 kHz -> float32 [ceil(N / 512)], each of 32 ms."""
        count = -(-len(pcm) // STEP)
        sound = np.zeros(BEFORE + count * STEP, np.float32)
        sound[BEFORE : BEFORE + len(pcm)] = pcm.astype(np.float32) / 32768
        steps = windows(sound, BEFORE + STEP, STEP)
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        made = [np.zeros(0, np.float32)]
        for start in range(0, count, AT_ONCE):
            heard = np.ascontiguousarray(steps[start : start + AT_ONCE])
            values, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": heard, "h": hidden, "c": cell}
            )
            made.append(values.reshape(-1))
        return np.concatenate(made)

    def regions(self, pcm: np.ndarray) -> list[tuple[int, int]]:
        """Speech in int16 [N] at 16 kHz as half-open frame spans, in order.

        A span is rounded outwards to whole frames.
        """
        if len(pcm) < STEP:
            return []
        spans: list[tuple[int, int]] = []
        for first, last in speech_spans(self.probabilities(pcm), len(pcm), self.threshold):
            start, end = first // SAMPLES_PER_FRAME, -(-last // SAMPLES_PER_FRAME)
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans


def speech_spans(
    probabilities: np.ndarray, num_samples: int, threshold: float
) -> list[tuple[int, int]]:
    """Half-open spans of samples, by silero-vad's own rule (its `get_speech_timestamps`): begun by
    a step at the threshold, ended by 120 ms without one that is not clearly below."""
    release = max(threshold - RELEASE, 0.01)
    spans: list[tuple[int, int]] = []
    begun: int | None = None
    quiet = 0
    for step, value in enumerate(probabilities.tolist()):
        now = step * STEP
        if value >= threshold:
            quiet = 0
            begun = now if begun is None else begun
        elif value < release and begun is not None:
            quiet = quiet or now
            if now - quiet >= LEAST_SAMPLES:
                spans.append((begun, quiet))
                begun, quiet = None, 0
    if begun is not None:
        spans.append((begun, num_samples))
    return [
        (max(0, a - PAD_SAMPLES), min(num_samples, b + PAD_SAMPLES))
        for a, b in spans
        if b - a > LEAST_SAMPLES
    ]


def share(regions: Sequence[tuple[float, float]], start_frame: int, end_frame: int) -> float:
    """The part of `[start_frame, end_frame)` inside the regions, 0 to 1."""
    inside = sum(max(0, min(b, end_frame) - max(a, start_frame)) for a, b in regions)
    return inside / max(1, end_frame - start_frame)
