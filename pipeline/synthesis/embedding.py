"""Voices of a video's face and of its sound, as text-to-speech systems that take GE2E vectors want
them (Lip2Speech, 5.1 and table 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics import voice
from evaluation.metrics.errors import NoScore
from manifests.clock import SAMPLES_PER_FRAME, seconds_of
from manifests.files import atomic_path, write_atomic
from manifests.media.sound import read_audio
from manifests.paths import as_text
from manifests.plain_words import sentence
from manifests.records import Video
from pipeline.synthesis.people import Person

FULL_SCALE = 32768
ENDS = (".npy", ".safetensors")


@dataclass(frozen=True)
class Embeddings:
    """Float32 [256] each, not negative and of length 1, and what is known of them."""

    face: np.ndarray
    voice: np.ndarray | None
    facts: Mapping[str, Any]


def files_of(path: Path) -> tuple[Path, ...]:
    """All that is written for a name: one safetensors, or three files where it ends in .npy."""
    if path.suffix == ".safetensors":
        return (path,)
    return path, path.with_suffix(".voice.npy"), path.with_suffix(".json")


def voice_of(
    video: Video, person: Person, has_sound: bool
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """GE2E's embedding of the video's sound while the face is seen, by the score's own network
    (`evaluation/metrics/voice.py`); else None and why."""
    known: dict[str, Any] = {"voice_seconds": 0.0, "voice_reason": None}
    if not has_sound:
        return None, {**known, "voice_reason": "the video has no sound that can be read"}
    sound = read_audio(video) / FULL_SCALE
    heard = np.concatenate(
        [sound[SAMPLES_PER_FRAME * s.start : SAMPLES_PER_FRAME * s.end] for s in person.spans]
    )
    known["voice_seconds"] = round(seconds_of(person.num_frames), 3)
    try:
        return voice.embed(heard), {**known, "voice_encoder": f"GE2E {voice.model_hash()}"}
    except NoScore as error:
        return None, {**known, "voice_reason": sentence(error)}


def put_together(
    face: np.ndarray, heard: np.ndarray | None, facts: Mapping[str, Any]
) -> Embeddings:
    """With the cosine of the two among the facts."""
    cosine = None if heard is None else round(float(face @ heard), 4)
    return Embeddings(face, heard, {**facts, "cosine": cosine})


def facts_of_face(model: str, step: int, known: Mapping[str, Any], media: Path, frame: int) -> dict:
    """Which model saw which picture; names, no paths of this machine."""
    return {
        "model": model,
        "step": step,
        "face_weights": known.get("face_weights"),
        "face_weights_reason": known.get("face_weights_reason"),
        "identity": known.get("identity"),
        "video": as_text(media.name),
        "face_frame": frame,
        "face_seconds": seconds_of(frame),
    }


def write(path: Path, made: Embeddings) -> None:
    """`path` ends in .npy (the face's; the voice's and the facts beside it) or .safetensors
    (tensors `face` and `voice`, the facts as its metadata)."""
    told = json.dumps(made.facts, indent=1)
    tensors = {"face": made.face, **({} if made.voice is None else {"voice": made.voice})}
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        write_atomic(path, save(tensors, {"yld_embedding": told}))
        return
    for name, target in zip(("face", "voice"), files_of(path), strict=False):
        if name in tensors:
            with atomic_path(target) as temporary, open(temporary, "wb") as file:
                np.save(file, tensors[name], allow_pickle=False)
    write_atomic(files_of(path)[2], told + "\n")
