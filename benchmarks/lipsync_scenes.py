"""How often the synchrony model picks the face that is heard, judged by towers that saw none.

    python -m benchmarks.lipsync_scenes CORPUS... --folds DIR

DIR holds the weights that `benchmarks.lipsync_protocol CORPUS... --out DIR` kept (or `yld train
lipsync CORPUS... --keep-folds DIR`), one file for each group of speakers left out. A scene is two
or three faces of different speakers of one group, all talking, and the sound of one of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from stages.networks.lipsync import LipSync
from stages.sync.active_speakers import ByAgreement
from training.models.lipsync.examples import Example
from training.models.lipsync.run import load
from training.models.lipsync.trial import shifted

LENGTHS_FRAMES = (75, 125, None)
SHORTEST_FRAMES = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--index", type=Path, action="append", default=[])
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=60, help="for each length and group size")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    examples = load(arguments.corpora, arguments.index)
    groups = []
    for path in sorted(arguments.folds.glob("*.safetensors")):
        model = LipSync.load(path)
        left_out = (model.facts or {}).get("left_out")
        if left_out is None:
            raise SystemExit(f"{path} does not say which speakers it left out")
        people: dict[str, list[Example]] = {}
        for example in examples:
            if example.speaker in left_out:
                people.setdefault(example.speaker, []).append(example)
        if len(people) >= 3:
            groups.append((model, people))
    random = np.random.default_rng(arguments.seed)
    print("| length | faces | right | lead of the margin: right, wrong, ambiguous |")
    print("| --- | --- | --- | --- |")
    for length in LENGTHS_FRAMES:
        for count in (2, 3):
            leads = [
                lead
                for n in range(arguments.scenes)
                if (lead := scene(*groups[n % len(groups)], count, length, random)) is not None
            ]
            margin = ByAgreement.margin
            right, wrong = sum(x >= margin for x in leads), sum(x <= -margin for x in leads)
            print(
                f"| {f'{length / 25:g} s' if length else 'whole clip'} | {count} | "
                f"{sum(x > 0 for x in leads)} of {len(leads)} | {right}, {wrong}, "
                f"{len(leads) - right - wrong} |"
            )


def scene(
    model: LipSync,
    people: dict[str, list[Example]],
    count: int,
    length: int | None,
    random: np.random.Generator,
) -> float | None:
    """How far the face that is heard leads the others; None where the clips are too short."""
    names = random.choice(sorted(people), count, replace=False)
    faces = [people[n][random.integers(len(people[n]))] for n in names]
    frames = min(*(len(f) for f in faces), length or 10**6)
    if frames < SHORTEST_FRAMES:
        return None
    starts = [int(random.integers(len(f) - frames + 1)) for f in faces]
    pcm = shifted(faces[0].pcm, starts[0], starts[0] + frames, 0.0)
    heights = []
    for face, start in zip(faces, starts, strict=True):
        peak = model.clip_peak(
            face.landmarks[start : start + frames], face.mouths[start : start + frames], pcm
        )
        heights.append(0.0 if peak is None else peak.height)
    return heights[0] - max(heights[1:])


if __name__ == "__main__":
    main()
