"""The whole job: a face found, made to say another sound, and put back (Chung et al. 2017, 4.3).

The pictures rule: every picture of the video stays, at its own time. A sound that is longer is cut
with the last picture; where it is shorter, silence follows and the lips are those of silence. A
still has no length of its own and lasts as long as the sound.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from manifests.clock import FRAME_RATE
from manifests.paths import as_text
from pipeline.config.build_config import BuildConfig
from pipeline.redub.blend import blended
from pipeline.redub.models import animator_of, sharpener_of
from pipeline.redub.placing import Placing, Region
from pipeline.redub.sound import NewSound, read_new
from pipeline.redub.source import (
    Source,
    VideoSource,
    is_still,
    people_of_still,
    read_still,
    still_of,
)
from pipeline.redub.write import check, write
from pipeline.scoring.clip_faces import open_clip
from pipeline.synthesis.job import UNHEARD, chosen
from pipeline.synthesis.people import people_of
from training.harness.animator import Animator, Sharpener
from training.models.speech2vid.network import MADE

AT_ONCE = 16
"""Source pictures held while their faces are made."""
MAX_SPANS_TOLD = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What was asked for. `person` counts from 1, the one longest in the picture."""

    checkpoint: Path
    video: Path
    audio: Path
    out: Path
    deblur: Path | None = None
    region: Region = "lower"
    person: int | None = None
    device: str = "cpu"
    config: BuildConfig = field(default_factory=BuildConfig)


@dataclass(frozen=True)
class Redubbed:
    """What came of it."""

    num_pictures: int
    num_changed: int
    seconds: float


def redub(request: Request, say: Say) -> Redubbed:
    """Write the video with the new sound and a face that says it.

    Raises CheckpointError, MediaError, MuxError, NoFaceError, SetupError, and ValueError for a
    sound that cannot be read or a person that there is not.
    """
    check(request.out)
    animator, about = animator_of(request.checkpoint, request.device)
    sharpener = None
    if request.deblur is not None:
        sharpener, _ = sharpener_of(request.deblur, request.device)
    sound = read_new(request.audio)
    with tempfile.TemporaryDirectory(prefix="yld-") as folder:
        source = _source(request, sound, Path(folder), say)
        _tell_lengths(sound, source, request, say)
        matrices = source.matrices()
        _tell_without_face(matrices, source.times_us, say)
        stills = source.stills(animator.num_stills, animator.view)
        say(f"{about.model} after {about.step} steps says it, from {len(stills)} of its pictures")
        maker = _Maker(animator, sharpener, stills, sound.heard)
        placing = Placing(animator.view, MADE.start, request.region)
        pictures = _redubbed(source, matrices, maker, placing)
        write(request.out, source, pictures, sound.lasting(source.end_us))
    changed = sum(matrix is not None for matrix in matrices)
    return Redubbed(len(matrices), changed, source.end_us / 1e6)


@dataclass(frozen=True)
class _Maker:
    """Faces of moments of the sound."""

    animator: Animator
    sharpener: Sharpener | None
    stills: np.ndarray
    sound: np.ndarray

    def faces(self, times_us: Sequence[int]) -> np.ndarray:
        """uint8 [n, h, w, 3]."""
        made = self.animator.animate(self.stills, self.sound, np.array(times_us) / 1e6)
        return made if self.sharpener is None else self.sharpener.sharpen(made)


def _source(request: Request, sound: NewSound, work: Path, say: Say) -> Source:
    if is_still(request.video):
        picture = read_still(request.video)
        person = chosen(people_of_still(picture, work, request.config), request.person, say)
        return still_of(picture, person, int(sound.seconds * FRAME_RATE))
    video, path = open_clip(request.video.resolve(), work, UNHEARD)
    if path != request.video.resolve():
        say(f"{as_text(request.video.name)} has no sound that can be read; only its pictures count")
    for note in video.notes:
        say(note)
    person = chosen(people_of(video, work, request.config), request.person, say)
    return VideoSource(video, path, person)


def _redubbed(
    source: Source, matrices: Sequence[np.ndarray | None], maker: _Maker, placing: Placing
) -> Iterator[np.ndarray]:
    """Every picture, changed where its face is known."""
    pictures = source.pictures()
    for start in range(0, len(matrices), AT_ONCE):
        ways = matrices[start : start + AT_ONCE]
        times = [
            t for t, way in zip(source.times_us[start:], ways, strict=False) if way is not None
        ]
        faces = iter(maker.faces(times))
        for picture, way in zip(islice(pictures, len(ways)), ways, strict=True):
            yield picture if way is None else _changed(picture, next(faces), way, placing)


def _changed(
    picture: np.ndarray, face: np.ndarray, matrix: np.ndarray, placing: Placing
) -> np.ndarray:
    placed = placing.place(face, matrix, picture.shape[:2])
    made = picture.copy()
    made[placed.part] = blended(picture[placed.part], placed.face, placed.mask)
    return made


def _tell_lengths(sound: NewSound, source: Source, request: Request, say: Say) -> None:
    end_s = source.end_us / 1e6
    if is_still(request.video) or abs(sound.seconds - end_s) <= 1 / source.rate:
        return
    if sound.seconds > end_s:
        say(
            f"the sound lasts {sound.seconds:.2f} s, the video {end_s:.2f} s: the last "
            f"{sound.seconds - end_s:.2f} s of the sound are left out"
        )
    else:
        say(
            f"the sound lasts {sound.seconds:.2f} s, the video {end_s:.2f} s: silence follows, "
            "with the lips of silence"
        )


def _tell_without_face(
    matrices: Sequence[np.ndarray | None], times_us: Sequence[int], say: Say
) -> None:
    """Which pictures stay as they are."""
    missing = np.array([matrix is None for matrix in matrices])
    if not missing.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing, [0]]).astype(int)))
    spans = [
        f"{times_us[a] / 1e6:.2f} to {times_us[b - 1] / 1e6:.2f} s"
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    more = f" and {len(spans) - MAX_SPANS_TOLD} more spans" * (len(spans) > MAX_SPANS_TOLD)
    say(
        f"{missing.sum()} of {len(missing)} pictures show no such face that can be registered and "
        f"stay as they are: {', '.join(spans[:MAX_SPANS_TOLD])}{more}"
    )
