"""Whether the same pictures always give the same bytes, however busy the machine is.

    python -m benchmarks.same_bytes [--encodes 1500] [--frames 12] [--json]

Faces of reference clips, 256 x 256, are encoded as clips are (`manifests.media.encode`), in turn,
and each result is held against the first of the same pictures. Between two encodes memory of
changing size is filled with noise and let go, so that what lies beside the pictures is another
each time.
Run it while the machine is loaded: the load is told beside the count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
from pathlib import Path

import cv2
import numpy as np

from benchmarks.decodes import data_folder
from manifests.media.encode import encode_video
from manifests.media.pictures import iter_frames
from manifests.media.video import open_video

SIDE_PX, MOST_CLIPS = 256, 12


def pictures_of(path: Path, count: int) -> list[np.ndarray]:
    """The middle square of the first frames, uint8 [256, 256, 3]."""
    made = []
    for _, rgb in iter_frames(open_video(path), path, 0, count):
        side = min(rgb.shape[:2])
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        square = rgb[top : top + side, left : left + side]
        made.append(cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encodes", type=int, default=1500)
    parser.add_argument("--frames", type=int, default=12, help="of a clip")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    paths = sorted((asked.data / "grid_s1").glob("*.mpg"))[:MOST_CLIPS]
    clips = [pictures_of(path, asked.frames) for path in paths]
    first: dict[int, str] = {}
    different, loads, rng = 0, [os.getloadavg()[0]], random.Random(1)
    for number in range(asked.encodes):
        noise = np.frombuffer(rng.randbytes(rng.randrange(1, 3_000_000)), np.uint8).copy()
        which = number % len(clips)
        content, _ = encode_video(clips[which])
        del noise
        digest = hashlib.sha256(content).hexdigest()
        if first.setdefault(which, digest) != digest:
            different += 1
        if number % 100 == 0:
            loads.append(os.getloadavg()[0])
    told = {
        "encodes": asked.encodes,
        "clips": len(clips),
        "different": different,
        "load": [round(min(loads), 1), round(max(loads), 1)],
    }
    print(json.dumps(told) if asked.json else told)


if __name__ == "__main__":
    main()
