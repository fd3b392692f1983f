"""Face backends beside each other on reference clips: the tables of docs/backends.md.

    python -m benchmarks.face_backends CLIPS/INDEX.tsv [--per-clip 4] [--fit-boxes]

Weights come from the cache folder or YLD_MODEL_MIRROR; a backend whose weights or library are
not here is left out and named. One thread, CPU, unless `--device cuda`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.face_pictures import Face, Shown, agree, alone, recall, sample
from stages.backends import registry
from stages.backends.boxes import HouseBox, overlap
from stages.backends.protocols import Detector, Embedder, Landmarker
from stages.base import SetupError
from stages.faces.chips import face_chips
from stages.faces.detection import FollowConfig
from stages.faces.head_pose import head_pose

SIZES_PX = ((0, 40), (40, 80), (80, 160), (160, 2000))
TURNS_DEG = ((0, 20), (20, 45), (45, 180))
REGIONS = {
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "outer lips": range(48, 60),
    "inner lips": range(60, 68),
}


def usable(table: Mapping[str, type], device: str) -> dict[str, Any]:
    """Backends that can be set up here, of the table's kind; the others are named on stderr."""
    made = {}
    for name in table:
        try:
            backend: Any = registry.make(table, name, device=device)
            backend.setup()
            made[name] = backend
        except SetupError as error:
            print(f"left out {name}: {str(error).split(':')[0]}", file=sys.stderr)
    return made


def squares(
    detector: Detector, shown: Sequence[Shown]
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Own boxes and house squares of faces above the detector's `min_score`, by picture, and
    pictures a second."""
    detector.threshold = detector.min_score
    pixels, scales = [s.pixels for s in shown], np.ones(len(shown))
    if not detector.whole_picture:  # as the follower searches
        side = FollowConfig().search_side_px
        scales = np.array([side / max(p.shape) for p in pixels])
        pixels = [
            cv2.cvtColor(
                cv2.resize(p, None, fx=s, fy=s, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
            )
            for p, s in zip(pixels, scales, strict=True)
        ]
    start = time.perf_counter()
    found = detector.detect(pixels)
    speed = len(shown) / (time.perf_counter() - start)
    own = [boxes / scale for (boxes, _), scale in zip(found, scales, strict=True)]
    return own, [detector.house.of(b) for b in own], speed


def fit_boxes(own: dict[str, list[np.ndarray]]) -> None:
    """Print each detector's mean change to dlib's square, on faces that both found."""
    for name, boxes in own.items():
        pairs = [
            (b, max(dlib, key=partial(overlap, b)))
            for found, dlib in zip(boxes, own["dlib_hog"], strict=True)
            for b in found
            if len(dlib)
        ]
        pairs = [(b, d) for b, d in pairs if overlap(b, d) > 0.3]
        if name == "dlib_hog" or not pairs:
            continue
        a, b = (np.array(side) for side in zip(*pairs, strict=True))
        fit = HouseBox.fit(a, b)
        after = [overlap(x, y) for x, y in zip(fit.of(a), b, strict=True)]
        print(
            f"{name}: HouseBox({fit.down}, {fit.side}), {len(pairs)} faces, overlap "
            f"{np.median([overlap(x, y) for x, y in pairs]):.2f} -> {np.median(after):.2f}"
        )


def turn_of(face: Face, shown: Sequence[Shown], mesh: Landmarker | None) -> float | None:
    """Yaw in degrees from MediaPipe's mesh, None where none fits."""
    if mesh is None:
        return None
    points = mesh.fit(shown[face.shown].pixels, face.square[None])
    return abs(head_pose(points)[0]) if np.isfinite(points).all() else None


def share(right: int, count: int) -> str:
    """A share with its count; nothing is said of fewer than ten."""
    return f"{100 * right / count:.0f} % of {count}" if count >= 10 else f"({right} of {count})"


def detector_tables(
    shown: Sequence[Shown],
    found: dict[str, list[np.ndarray]],
    speeds: dict[str, float],
    mesh: Landmarker | None,
) -> None:
    """Recall by source, size and turn; overlap between detectors; speed."""
    faces = agree(found, len(shown))
    for face in faces:
        if any(face.is_there_for(d) for d in found):
            face.yaw_deg = turn_of(face, shown, mesh)
    groups: dict[str, list[Face]] = {"all": faces}
    for low, high in SIZES_PX:
        groups[f"{low}-{high} px"] = [f for f in faces if low <= f.side_px < high]
    for low, high in TURNS_DEG:
        groups[f"turned {low}-{high} deg"] = [
            f for f in faces if f.yaw_deg is not None and low <= f.yaw_deg < high
        ]
    groups["no mesh fits"] = [f for f in faces if f.yaw_deg is None]
    for source in sorted({s.source for s in shown}):
        groups[source] = [f for f in faces if shown[f.shown].source == source]
    print("\n| faces | " + " | ".join(found) + " |\n" + "| --- " * (1 + len(found)) + "|")
    for name, members in groups.items():
        rows = [recall(members, d) for d in found]
        if any(count for _, count in rows):
            print(f"| {name} | " + " | ".join(share(*r) for r in rows) + " |")
    without = {i for i, s in enumerate(shown) if not s.has_faces}
    print(
        "| found alone, per 100 pictures | "
        + " | ".join(f"{100 * alone(faces, d) / len(shown):.1f}" for d in found)
        + " |"
    )
    print(
        f"| the same, in {len(without)} pictures of clips with no frontal face in the index | "
        + " | ".join(str(alone([f for f in faces if f.shown in without], d)) for d in found)
        + " |"
    )
    print("| pictures a second | " + " | ".join(f"{speeds[d]:.1f}" for d in found) + " |")
    print("\n| median overlap | " + " | ".join(found) + " |\n" + "| --- " * (1 + len(found)) + "|")
    for a in found:
        cells = []
        for b in found:
            both = [overlap(f.boxes[a], f.boxes[b]) for f in faces if {a, b} <= set(f.boxes)]
            cells.append("" if a == b or not both else f"{np.median(both):.2f}")
        print(f"| {a} | " + " | ".join(cells) + " |")
    landmark_table(
        shown, [f for f in faces if f.is_there_for("dlib_hog") and "dlib_hog" in f.boxes]
    )


def landmark_table(shown: Sequence[Shown], faces: Sequence[Face]) -> None:
    """Distance of each landmarker's points to dlib's, in eye distances, and speed."""
    made: dict[str, Landmarker] = usable(registry.LANDMARKERS, "cpu")
    points, speeds = {}, {}
    for name, backend in made.items():
        pictures = [
            shown[f.shown].pixels
            if backend.in_colour
            else cv2.cvtColor(shown[f.shown].pixels, cv2.COLOR_RGB2GRAY)
            for f in faces
        ]
        start = time.perf_counter()
        points[name] = np.concatenate(
            [
                backend.fit(p, f.boxes["dlib_hog"][None])
                for p, f in zip(pictures, faces, strict=True)
            ]
        )
        speeds[name] = len(faces) / (time.perf_counter() - start)
    base = points["dlib_68"]
    eyes = np.linalg.norm(base[:, 42:48].mean(1) - base[:, 36:42].mean(1), axis=1)
    print(f"\n{len(faces)} frontal faces that dlib_hog found")
    print("| landmarks | fitted | " + " | ".join(REGIONS) + " | faces a second |")
    print("| --- " * (3 + len(REGIONS)) + "|")
    for name, found in points.items():
        fitted = np.isfinite(found).all((1, 2))
        gaps = np.linalg.norm(found - base, axis=2) / eyes[:, None]
        cells = [f"{np.median(gaps[fitted][:, list(r)]):.3f}" for r in REGIONS.values()]
        print(
            f"| {name} | {share(int(fitted.sum()), len(faces))} | "
            + " | ".join(cells)
            + f" | {speeds[name]:.0f} |"
        )


def embedder_table(shown: Sequence[Shown], found: dict[str, list[np.ndarray]]) -> None:
    """Distances of one person's and of two persons' faces, and the best limit between."""
    landmarker: Landmarker = registry.make(dict(registry.LANDMARKERS), "dlib_68")
    chips, people, clips = [], [], []
    for i, boxes in enumerate(found["dlib_hog"]):
        if len(boxes) == 1 and shown[i].speaker:
            pixels = shown[i].pixels
            points = landmarker.fit(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), boxes)[0]
            chips.append(face_chips(pixels, points))
            people.append(shown[i].speaker)
            clips.append(shown[i].clip)
    same = np.array([[a == b for a in people] for b in people])
    pairs = np.triu(np.array([[a != b for a in clips] for b in clips]))
    within = np.triu(same & ~np.array([[a != b for a in clips] for b in clips]), 1)
    print(f"\n{len(chips)} faces of {len(set(people))} people")
    print(
        "| embedding | one person, same clip | other clip | two people, 1st percentile "
        "| best limit | its error | faces a second |\n" + "| --- " * 7 + "|"
    )
    made: dict[str, Embedder] = usable(registry.EMBEDDERS, "cpu")
    for name, backend in made.items():
        start = time.perf_counter()
        vectors = backend.embed(np.stack([getattr(c, backend.chips) for c in chips]))
        speed = len(chips) / (time.perf_counter() - start)
        distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
        mine, other = distance[pairs & same], distance[pairs & ~same]
        limits = np.linspace(other.min(), max(mine.max(), other.min() + 1e-3), 400)
        errors = [((mine > t).mean() + (other < t).mean()) / 2 for t in limits]
        best = int(np.argmin(errors))
        print(
            f"| {name} | {np.median(distance[within]):.2f} | {np.median(mine):.2f} "
            f"(99 %: {np.percentile(mine, 99):.2f}) | {np.percentile(other, 1):.2f} "
            f"| {limits[best]:.2f} | {100 * errors[best]:.1f} % | {speed:.0f} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--per-clip", type=int, default=4)
    parser.add_argument("--clips-per-source", type=int, default=12)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--fit-boxes", action="store_true")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    shown = list(sample(options.index, options.per_clip, options.clips_per_source))
    print(f"{len(shown)} pictures of {len({s.clip for s in shown})} clips")
    own, found, speeds = {}, {}, {}
    detectors: dict[str, Detector] = usable(registry.DETECTORS, options.device)
    for name, detector in detectors.items():
        detector.detect([shown[0].pixels])  # the first call loads
        own[name], found[name], speeds[name] = squares(detector, shown)
        print(f"{name}: {speeds[name]:.1f} pictures a second", file=sys.stderr)
    if options.fit_boxes:
        fit_boxes(own)
        return
    mesh = usable({"mediapipe": registry.LANDMARKERS["mediapipe"]}, "cpu").get("mediapipe")
    detector_tables(shown, found, speeds, mesh)
    embedder_table(shown, found)


if __name__ == "__main__":
    main()
