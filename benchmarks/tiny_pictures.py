"""What a `tiny` model that makes faces of sound reaches, beside repeating the still; called by
`benchmarks.tiny_models`.

Of each clip that was not learnt from: its first pictures are the stills (one, or one each 200 ms),
its own sound is heard, and frames 1 s and more behind the stills are judged. Rows: `model`;
`deblurred`, where a deblurring network is given; `still`, the last still all the time;
`other_sound`, the model hearing another clip, which says how much of the rest is the sound's doing.

L1 is of values in 0..1 on the 109 px that are made, PSNR and SSIM as `yld evaluate` has them. Each
picture is laid into the still's canonical face; the distance of the lips is in its pixels, of the
points that the landmarker finds there, in truth and guess alike. `lm_within_40_ms` is the share of
clips whose offset, by the landmark synchrony model, is decided and within 40 ms; `lm_median_ms` of
the decided ones. For `truth` too: what the measure says of the clip itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from evaluation.metrics.errors import NoScore
from evaluation.metrics.faces import Face
from evaluation.metrics.pictures import lip_landmark_distance, psnr, ssim
from evaluation.metrics.sync import FRAME_MS, lm_offset
from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.crops import CROPS, crop
from manifests.media.sound import shifted
from manifests.shards import ShardSample
from pipeline.redub.models import animator_of, sharpener_of
from stages.backends import registry
from stages.networks.lipsync_features import mouths_of_faces
from training.data.every_fifth import AWAY_FRAMES, EVERY
from training.harness.animator import Animator, Sharpener
from training.models.speech2vid.network import MADE

FACE_BOX = np.array([[40.0, 56.0, 216.0, 232.0]], np.float32)
"""Where a canonical face lies, as a detector would say it."""
STRIP_EVERY, STRIP_COLUMNS = 6, 9


class Judge:
    """Figures of a clip's pictures."""

    def __init__(self) -> None:
        self.landmarker = registry.make(registry.LANDMARKERS, "dlib_68", device="cpu")
        self.landmarker.setup()

    def seen(self, faces: np.ndarray) -> Face:
        """Landmarks and mouths of canonical faces uint8 [T, 256, 256, 3]."""
        grey = (cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in faces)
        points = [self.landmarker.fit(picture, FACE_BOX)[0] for picture in grey]
        return Face(np.stack(points), mouths_of_faces(faces), 0)


def laid_in(made: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Made pictures uint8 [T, 109, 109, 3] in a canonical face [256, 256, 3]: [T, 256, 256, 3]."""
    window = CROPS["speech2vid"]
    side = window.y1 - window.y0
    still = crop(face[None], "speech2vid")[0]
    placed = np.repeat(face[None], len(made), 0)
    for frame, picture in zip(placed, made, strict=True):
        whole = still.copy()
        whole[MADE, MADE] = picture
        frame[window.rows_columns] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_CUBIC)
    return placed


def guesses(
    animator: Animator,
    sharpener: Sharpener | None,
    stills: np.ndarray,
    sounds: dict[str, np.ndarray],
) -> Iterator[tuple[str, np.ndarray]]:
    """Row and pictures of all frames of the clip."""
    num_frames = len(sounds["model"]) // SAMPLES_PER_FRAME
    times = np.arange(num_frames) * SAMPLES_PER_FRAME / SAMPLE_RATE
    for name, sound in sounds.items():
        made = animator.animate(stills, sound, times)
        yield name, made
        if name == "model" and sharpener is not None:
            yield "deblurred", sharpener.sharpen(made)
    yield "still", np.repeat(stills[-1:, MADE, MADE], num_frames, 0)


def table(
    samples: Sequence[ShardSample],
    checkpoint: Path,
    deblur: Path | None,
    pairing: str,
    strips: Path | None,
) -> tuple[dict[str, dict[str, float]], int]:
    """Means by row over the held-out clips, and the model's steps."""
    animator, about = animator_of(checkpoint, "cpu")
    sharpener = None if deblur is None else sharpener_of(deblur, "cpu")[0]
    judge = Judge()
    heard = [_heard(sample, animator, pairing) for sample in samples]
    found: dict[str, list[dict[str, float]]] = {}
    for i, sample in enumerate(samples):
        faces = sample.faces()
        other = np.resize(heard[i - 1], len(heard[i]))
        stills_at = EVERY * np.arange(animator.num_stills)
        stills = animator.view.seen(faces[stills_at])
        first = int(stills_at[-1]) + AWAY_FRAMES
        truth = animator.view.seen(faces)[:, MADE, MADE]
        seen = judge.seen(laid_in(truth, faces[stills_at[-1]]))
        rows = {"truth": truth}
        found.setdefault("truth", []).append(_offset(seen, heard[i]))
        for name, made in guesses(
            animator, sharpener, stills, {"model": heard[i], "other_sound": other}
        ):
            face = judge.seen(laid_in(made, faces[stills_at[-1]]))
            figures = _figures(truth[first:], made[first:])
            figures["lip_px"] = lip_landmark_distance(
                seen.landmarks[first:], face.landmarks[first:]
            )
            moving = {} if name == "still" else _offset(face, heard[i])
            found.setdefault(name, []).append(figures | moving)
            rows[name] = made
        if strips is not None and i < 2:
            _write_strip(strips / f"{i + 1}.png", rows, first)
        print(sample.key, {n: r[-1] for n, r in found.items()}, file=sys.stderr)
    return {name: _summary(rows) for name, rows in found.items()}, about.step


def _heard(sample: ShardSample, animator: Animator, pairing: str) -> np.ndarray:
    """int16 [640 T], with the measured lag taken out where the model learnt so."""
    length = int(sample.facts["num_frames"]) * SAMPLES_PER_FRAME
    lag = animator.view.lag_of(sample) if pairing == "corrected" else 0
    return shifted(sample.sound, lag)[:length]


def _figures(truth: np.ndarray, made: np.ndarray) -> dict[str, float]:
    gap = np.abs(truth.astype(np.float64) - made).mean() / 255
    return {"l1": float(gap), "psnr": psnr(truth, made), "ssim": ssim(truth, made)}


def _offset(face: Face, sound: np.ndarray) -> dict[str, float]:
    try:
        offset = lm_offset(face, sound / 32768)
    except NoScore:
        return {"lm_within_40_ms": 0.0, "lm_decided": 0.0}
    return {
        "lm_within_40_ms": float(abs(offset) <= FRAME_MS),
        "lm_decided": 1.0,
        "lm_median_ms": offset,
    }


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    made: dict[str, float] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        middle = np.median(values) if name == "lm_median_ms" else np.mean(values)
        made[name] = round(float(middle), 4)
    return made | {"clips": len(rows)}


def _write_strip(path: Path, rows: dict[str, np.ndarray], first: int) -> None:
    """Every sixth frame of each row, side by side, a row below the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = range(first, len(rows["truth"]), STRIP_EVERY)
    lines = [
        np.concatenate([made[t] for t in columns][:STRIP_COLUMNS], 1) for made in rows.values()
    ]
    cv2.imwrite(str(path), np.concatenate(lines)[..., ::-1])
