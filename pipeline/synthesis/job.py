"""The whole job: a face found, registered and spoken for, its sound placed on the video's clock."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME, seconds_of
from manifests.files import atomic_path
from manifests.media.pictures import iter_pictures
from manifests.paths import as_text
from manifests.records import Video
from pipeline.config.build_config import BuildConfig
from pipeline.scoring.clip_faces import open_clip
from pipeline.synthesis import embedding, mux
from pipeline.synthesis.embedding import Embeddings
from pipeline.synthesis.models import embedder_of, learnt_parts, speaker_of
from pipeline.synthesis.people import Person, Span, people_of
from stages.faces import registration
from training.data.views import View
from training.harness.checkpoints import Description, unchosen
from training.harness.speaker import ExemplarSpeaker, FaceSpeaker, Speaker, VoiceOfFace

UNHEARD = ("no_audio", "no_decoder", "encrypted", "too_many_channels", "clock_jump")
"""Reasons why a video's own sound cannot be read, which is no matter here."""
FADE_SAMPLES = 80
"""5 ms at both ends of what is spoken, against clicks."""
AT_ONCE = 64
"""Canonical faces held before they are cut to what the model sees."""


@dataclass(frozen=True)
class Request:
    """What was asked for. `person` counts from 1, the one longest in the picture."""

    checkpoint: Path
    video: Path
    out: Path | None
    mux: Path | None = None
    speaker: str | None = None
    person: int | None = None
    device: str = "cpu"
    seed: int = 0
    exemplars: tuple[str, ...] = ()
    """Corpora whose clips the model learnt from, for speech that is put together from them."""
    config: BuildConfig = field(default_factory=BuildConfig)
    embedding: Path | None = None
    """Where the voices of face and sound are written (`embedding.py`)."""


@dataclass(frozen=True)
class Spoken:
    """What came of it."""

    seconds: float
    """Length of the sound, which is the video's."""
    spoken_seconds: float
    """Of it, where the face is."""
    embeddings: Embeddings | None = None


def synthesize(request: Request, say: Callable[[str], None]) -> Spoken:
    """Write the sound, and the video with it.

    Raises CheckpointError, MediaError, MuxError, NoFaceError, SetupError, and ValueError for a
    speaker or person that there is not.
    """
    speaks = Told(*speaker_of(request.checkpoint, request.device)) if request.out else None
    if warning := unchosen(request.checkpoint):
        say(warning)
    if speaks is not None:
        _check_voice(speaks.speaker, request)
        _take_exemplars(speaks.speaker, speaks.about, request, say)
    sees = None if request.embedding is None else embedder_of(request.checkpoint, request.device)
    with tempfile.TemporaryDirectory(prefix="yld-") as folder:
        work = Path(folder)
        video, path = _open(request.video, work, say)
        if request.mux is not None:
            mux.check(video, request.mux)
        people = people_of(video, work, request.config)
        person = chosen(people, request.person, say)
        made = None
        if sees is not None and request.embedding is not None:
            made = _embeddings(video, path, person, *sees, request)
            embedding.write(request.embedding, made)
        if speaks is not None:
            _say_aloud(video, path, person, speaks, request, say)
    return Spoken(seconds_of(video.num_frames), seconds_of(person.num_frames), made)


@dataclass(frozen=True)
class Told:
    """A model that speaks, and what it is."""

    speaker: Speaker
    about: Description


def _say_aloud(
    video: Video,
    path: Path,
    person: Person,
    model: Told,
    request: Request,
    say: Callable[[str], None],
) -> None:
    """Write the sound, and the video with it where that is asked for."""
    assert request.out is not None
    say(f"{model.about.model} after {model.about.step} steps speaks, with {_voice(model, request)}")
    sound = _sound(video, path, person, model.speaker, request)
    write_wav(request.out, sound)
    if request.mux is not None:
        mux.mux(video, path, sound, request.mux)


def _voice(model: Told, request: Request) -> str:
    if request.speaker is not None:
        return request.speaker
    return _unnamed_voice(model.speaker)


def _unnamed_voice(speaker: Speaker) -> str:
    """What it speaks with when nobody is named."""
    usual = "the mean of its voices" if len(speaker.voices) > 1 else "its one voice"
    return str(getattr(speaker, "unnamed_voice", usual))


def _embeddings(
    video: Video,
    path: Path,
    person: Person,
    model: VoiceOfFace,
    about: Description,
    request: Request,
) -> Embeddings:
    """Of the first picture of the face (Lip2Speech, 3.2), and of the sound while it is seen."""
    first = person.spans[0]
    alone = Span(first.start, first.start + 1, first.matrices[:1], first.landmarks[:1])
    face = model.voice_of_face(pictures_of(video, path, alone, model.face_view)[0])
    heard, told = embedding.voice_of(video, person, path == request.video.resolve())
    known = embedding.facts_of_face(
        about.model, about.step, about.facts, request.video, first.start
    )
    return embedding.put_together(face, heard, {**known, **told})


def _open(media: Path, work: Path, say: Callable[[str], None]) -> tuple[Video, Path]:
    """The video's record, with a path that opens wherever the work folder is."""
    video, path = open_clip(media.resolve(), work, UNHEARD)
    if path != media.resolve():
        say(f"{as_text(media.name)} has no sound that can be read; only its pictures are needed")
    for note in video.notes:
        say(note)
    return video, path


def _take_exemplars(
    speaker: Speaker, about: Description, request: Request, say: Callable[[str], None]
) -> None:
    """Raises ValueError where the model has no use for them."""
    if not request.exemplars:
        return
    if not isinstance(speaker, ExemplarSpeaker):
        raise ValueError(f"{about.model} puts no speech together; leave --exemplars out")
    parts = learnt_parts(about, request.exemplars)
    speaker.learn_from(parts)
    say(f"its sound comes from {sum(len(part) for part in parts)} clips that it learnt from")


def _check_voice(speaker: Speaker, request: Request) -> None:
    voices = speaker.voices
    if request.speaker is not None and request.speaker not in voices:
        there = ", ".join(voices[:20]) + (f" and {len(voices) - 20} more" * (len(voices) > 20))
        raise ValueError(
            f"the model knows no speaker {request.speaker}; it knows {there or 'none by name'}. "
            f"Without --speaker it speaks with {_unnamed_voice(speaker)}"
        )


def chosen(people: Sequence[Person], number: int | None, say: Callable[[str], None]) -> Person:
    """Raises ValueError for a number that nobody has."""
    if number is not None and number > len(people):
        raise ValueError(
            f"there is no person {number}: {len(people)} can be spoken for; leave --track out for "
            "the one longest in the picture"
        )
    if len(people) > 1:
        say(f"{len(people)} people are seen:")
        for i, person in enumerate(people):
            say(f"  {i + 1}: {person.in_words()}")
    chosen = people[(number or 1) - 1]
    more = "; --track N chooses another one" if len(people) > 1 and number is None else ""
    say(f"spoken for: {chosen.in_words()}{more}")
    return chosen


def _sound(
    video: Video, path: Path, person: Person, speaker: Speaker, request: Request
) -> np.ndarray:
    """int16 [640 frames of the video]: each span's speech at its own time, silence elsewhere."""
    sound = np.zeros(SAMPLES_PER_FRAME * video.num_frames, np.float32)
    for span in person.spans:
        pictures = pictures_of(video, path, span, speaker.view)
        if isinstance(speaker, FaceSpeaker):
            made = speaker.speak_face(pictures, span.landmarks, request.speaker, request.seed)
        else:
            made = speaker.speak(pictures, request.speaker, request.seed)
        start = SAMPLES_PER_FRAME * span.start
        sound[start : start + len(made)] = faded(made)
    return np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def pictures_of(video: Video, path: Path, span: Span, view: View) -> np.ndarray:
    """What the model sees of a span, uint8 [T, h, w] or [T, h, w, 3]; registered as in a build."""
    seen: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    shown, rgb = None, np.empty(0, np.uint8)
    for frame, picture in iter_pictures(video, path, span.start, span.end):
        if shown is not picture:
            shown, rgb = picture, picture.rgb()
        waiting.append(registration.warp(rgb, span.matrices[frame - span.start]))
        if len(waiting) == AT_ONCE or frame + 1 == span.end:
            seen.append(view.seen(np.stack(waiting)))
            waiting = []
    return np.concatenate(seen)


def faded(sound: np.ndarray) -> np.ndarray:
    """float32 [N] with 5 ms of rise and fall."""
    ramp = np.linspace(0, 1, FADE_SAMPLES, dtype=np.float32)
    made = sound.copy()
    made[:FADE_SAMPLES] *= ramp
    made[-FADE_SAMPLES:] *= ramp[::-1]
    return made


def write_wav(path: Path, sound: np.ndarray) -> None:
    """int16 [N] as mono WAV of 16 kHz."""
    with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(sound.astype("<i2").tobytes())
