"""A listening test that is one HTML file: no server, no network, nothing that names a system.

Which stimulus is which system stands only in the key beside the page. Every rater hears the
stimuli in an order of their own, each version of a sample among the others.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import jinja2
import numpy as np

from evaluation.audio import read_sound
from evaluation.metrics.signals import within_full_scale
from evaluation.pairing import media_files
from evaluation.report.charts import data_url
from evaluation.scoring import plain
from manifests.files import write_atomic
from manifests.ids import hash_id
from manifests.media.encode import encode_flac

FORMAT = 1
IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}


class _Face(TypedDict):
    """The picture beside a sound, as the page's script reads it."""

    url: str
    moves: bool


class _Stimulus(TypedDict):
    """One sound to judge, as the page's script reads it."""

    id: str
    sound: str
    face: _Face | None


@dataclass(frozen=True)
class Made:
    """What `make_test` wrote, and which samples it drew and left out, with the reason."""

    num_stimuli: int
    num_samples: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class Question:
    """What is asked of every stimulus, with words for 1 and 5."""

    name: str
    text: str
    low: str
    high: str


QUESTIONS = {
    q.name: q
    for q in (
        Question("quality", "How good is the sound?", "bad", "excellent"),
        Question(
            "intelligibility",
            "How well can you understand what is said?",
            "not at all",
            "every word",
        ),
        Question("naturalness", "How natural is the speech?", "like a machine", "like a person"),
        Question("face-voice", "How well does the voice fit the face?", "not at all", "very well"),
    )
}
DEFAULT_QUESTIONS = ("quality", "intelligibility", "naturalness")


def make_test(
    page: Path,
    key: Path,
    systems: Mapping[str, Path],
    *,
    questions: Sequence[str] = DEFAULT_QUESTIONS,
    num_samples: int = 10,
    seed: int = 0,
    faces: Path | None = None,
    title: str = "Listening test",
) -> Made:
    """Write the page and its key.

    `systems` are folders of sound by name; samples are drawn from the names that all of them
    have, the same for every system, with `seed`. `faces` holds pictures or videos by the same
    names. A sample of which one file cannot be read is left out for all systems, and another
    drawn in its place while there is one. Raises ValueError for what does not fit, or where no
    sample is left.
    """
    for name in questions:
        if name not in QUESTIONS:
            raise ValueError(f"no question {name!r}; there are {', '.join(QUESTIONS)}")
    if "face-voice" in questions and faces is None:
        raise ValueError("the question face-voice needs --faces")
    files = {name: media_files(folder) for name, folder in systems.items()}
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    shown = _faces(faces) if faces else {}
    if faces:
        common = [name for name in common if name in shown]
    for folder, found in zip(systems.values(), files.values(), strict=True):
        if not found:
            raise ValueError(f"{folder} holds no file of sound or video")
    if not common:
        raise ValueError("no name is in all of " + ", ".join(str(f) for f in systems.values()))
    rng = np.random.default_rng(seed)
    stimuli: list[_Stimulus] = []
    truth, left_out = {}, {}
    for sample in (common[i] for i in rng.permutation(len(common))):
        if len(stimuli) == num_samples * len(systems):
            break
        sounds, part = {}, "the face"
        try:
            face = _face(shown[sample]) if faces else None
            for part in systems:
                sounds[part] = _flac_url(files[part][sample])
        except (OSError, ValueError) as error:
            left_out[sample] = plain(f"{part}: {error}")
            continue
        for system, sound in sounds.items():
            name = secrets.token_hex(6)  # not from the seed: that would tell who is who
            truth[name] = {"system": system, "sample": sample}
            stimuli.append({"id": name, "sound": sound, "face": face})
    if not stimuli:
        raise ValueError(
            "no sample can be read in every system: "
            + "; ".join(f"{sample}: {reason}" for sample, reason in left_out.items())
        )
    stimuli.sort(key=lambda s: s["id"])
    test = hash_id("mos", *truth, length=12)
    asked = [vars(QUESTIONS[name]) for name in questions]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation.mos", "."), autoescape=True
    )
    write_atomic(
        page,
        environment.get_template("page.html").render(
            title=title,
            test=test,
            format=FORMAT,
            stimuli=stimuli,
            questions=asked,
            minutes=max(1, round(len(stimuli) * 12 / 60)),
        ),
    )
    write_atomic(
        key,
        json.dumps(
            {
                "format": FORMAT,
                "test": test,
                "questions": list(questions),
                "seed": seed,
                "systems": list(systems),
                "stimuli": truth,
            },
            indent=1,
        ),
    )
    return Made(len(stimuli), len(stimuli) // len(systems), left_out)


def _flac_url(path: Path) -> str:
    sound = within_full_scale(read_sound(path))
    if not len(sound):
        raise ValueError(f"{path} holds no sound")
    return data_url(encode_flac(np.rint(sound * 32767).astype(np.int16)), "audio/flac")


def _faces(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGES
    }


def _face(path: Path) -> _Face:
    kind = IMAGES[path.suffix.lower()]
    return {"url": data_url(path.read_bytes(), kind), "moves": kind.startswith("video")}
