"""What the synchrony model costs, and that its memory does not grow with a track."""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from manifests.crops import template
from stages.sync.estimators import ESTIMATORS, TrackSignals
from stages.sync.offsets import make_windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="lipsync", choices=sorted(ESTIMATORS))
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    estimator = ESTIMATORS[arguments.estimator]()
    for minutes in (0.5, arguments.minutes):
        frames: int = round(minutes * 1500)
        points = np.zeros((frames, 68, 2), np.float32)
        points[:, 27:48] = template()
        points += random.normal(0, 1, points.shape).astype(np.float32)
        mouths = random.integers(0, 255, (frames, 40, 48), dtype=np.uint8)
        pcm = random.integers(-3000, 3000, frames * 640).astype(np.int16)
        start = time.process_time()
        estimator.readings(
            TrackSignals(points, mouths, pcm, 0), make_windows(frames, 75, 25), 700.0
        )
        spent = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{minutes:g} min: {spent / (frames / 25):.4f} CPU-s per video-s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
