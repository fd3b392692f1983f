"""Where there is speech: silero-vad, its weights inside the package, one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from stages.base import SetupError


class SpeechDetector:
    """Voice activity on the canonical clock."""

    name = "silero-vad"

    def __init__(self, threshold: float = 0.5) -> None:
        try:
            import torch
            from silero_vad import load_silero_vad
        except ImportError as error:
            raise SetupError(f"silero-vad cannot be loaded ({error}); run `make setup`") from None
        torch.set_num_threads(1)
        self.threshold = threshold
        self._model = load_silero_vad()

    def regions(self, pcm: np.ndarray) -> list[tuple[int, int]]:
        """Speech in int16 [N] at 16 kHz as half-open frame spans, in order.

        A span is rounded outwards to whole frames.
        """
        import torch
        from silero_vad import get_speech_timestamps

        if len(pcm) < 512:
            return []
        stamps = get_speech_timestamps(
            torch.from_numpy(pcm.astype(np.float32) / 32768),
            self._model,
            threshold=self.threshold,
            sampling_rate=SAMPLE_RATE,
            min_speech_duration_ms=120,
            min_silence_duration_ms=120,
            speech_pad_ms=30,
        )
        spans: list[tuple[int, int]] = []
        for stamp in stamps:
            start = stamp["start"] // SAMPLES_PER_FRAME
            end = -(-stamp["end"] // SAMPLES_PER_FRAME)
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans


def share(regions: Sequence[tuple[float, float]], start_frame: int, end_frame: int) -> float:
    """The part of `[start_frame, end_frame)` inside the regions, 0 to 1."""
    inside = sum(max(0, min(b, end_frame) - max(a, start_frame)) for a, b in regions)
    return inside / max(1, end_frame - start_frame)
