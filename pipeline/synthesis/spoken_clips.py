"""The clips of a corpus's part spoken by a model, beside their true sound: what `yld evaluate
--shards` scores.

    OUT/work/spoken/HASH/made/KEY.wav    what the model says of the pictures
                        /true/KEY.wav    the clip's own sound, as the corpus pairs it
                        /faces/KEY.mp4   the clip's `face.mp4`
                        /speakers.txt    lines of `KEY speaker`

HASH is of the weights, the clips and the seed: the same command goes on where it was stopped, and
no other model's sounds are taken for this one's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.files import sha256_of, write_atomic
from manifests.ids import hash_id
from manifests.shards import ShardError, ShardSample
from pipeline.storage.own_folder import check, claim
from pipeline.synthesis.clips import speak_clip
from pipeline.synthesis.job import write_wav
from pipeline.synthesis.models import config_of, learnt_parts, maker_of, speaker_of
from training.data.samples import Samples
from training.data.wanted import Wanted
from training.harness.checkpoints import Description, weights_path
from training.harness.data import Selected, speakers_of
from training.harness.speaker import Speaker
from training.models.catalogue import KINDS

Say = Callable[[str], None]
FULL_SCALE = 32767
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,150}")
TOLD_FAILURES = 5


@dataclass(frozen=True)
class SpokenClips:
    """Where they lie, and which model spoke."""

    made: Path
    true: Path
    faces: Path
    speakers: Path
    made_by: Mapping[str, str]


def speak_part(
    corpus: Path,
    checkpoint: Path,
    out: Path,
    say: Say,
    *,
    part: str = "test",
    device: str = "cpu",
    seed: int = 0,
) -> SpokenClips:
    """Speak for all clips of a part that the model did not learn from.

    Clips that it cannot speak for are told; they have no file below `made` and count against
    coverage. Raises CheckpointError, ValueError where no clip is left, ShardError for a corpus that
    cannot be read, NotOursError and FileInTheWayError for what is another's at `out`.
    """
    check(out, "scores")
    speaker, about = speaker_of(checkpoint, device)
    chosen = unheard(corpus, part, about, say)
    voices = speakers_of([chosen])
    keys = [chosen.key(number) for number in range(len(chosen))]
    # A key is whatever its corpus says.
    names = [key if PLAIN_NAME.fullmatch(key) else hash_id(key) for key in keys]
    told = hash_id(sha256_of(weights_path(checkpoint)), chosen.numbering, str(seed))
    at = out / "work" / "spoken" / told
    clips = SpokenClips(
        at / "made", at / "true", at / "faces", at / "speakers.txt", maker_of(checkpoint)
    )
    files = [f for name in names for f in _files(clips, name)]
    own = claim(out, "scores")
    relative = [f.relative_to(out).as_posix() for f in (*files, clips.speakers)]
    own.about_to_write([f for f in relative if not own.is_whole(f)])
    for folder in (clips.made, clips.true, clips.faces):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {voices[key]}\n" for name, key in zip(names, keys, strict=True)]
    write_atomic(clips.speakers, "".join(lines))
    failures = []
    for number, name in enumerate(names):
        if _files(clips, name)[0].is_file():
            continue
        try:
            _speak(clips, name, chosen[number], speaker, voices[keys[number]], seed)
        except (ValueError, ShardError) as error:
            failures.append(f"{keys[number]} is not spoken for: {error}")
        say(f"{number + 1} of {len(names)} clips are spoken for")
    for line in failures[:TOLD_FAILURES]:
        say(line)
    if len(failures) > TOLD_FAILURES:
        say(f"and {len(failures) - TOLD_FAILURES} more")
    own.wrote(relative)
    return clips


def unheard(corpus: Path, part: str, about: Description, say: Say) -> Selected:
    """The clips of a part, less those that the model learnt from, where this corpus is one of those
    it was trained on. Raises ValueError where none is left."""
    members = KINDS[about.model].wanted(config_of(about)).members
    samples = Samples.of(corpus, part, Wanted(members))
    if samples.left_out:
        say(samples.left_out_sentence())
    learnt: set[str] = set()
    if samples.name in {told.get("name") for told in about.data.get("corpora", ())}:
        for known in learnt_parts(about, [str(corpus)]):
            learnt |= {known.key(number) for number in range(len(known))}
    numbers = [n for n in range(len(samples)) if samples.key(n) not in learnt]
    if not numbers:
        raise ValueError(f"the model learnt from all clips of {part} of {corpus}; give another")
    if len(numbers) < len(samples):
        say(f"{len(samples) - len(numbers)} clips of {part} were learnt from and are left out")
    return Selected(samples, tuple(numbers))


def _files(clips: SpokenClips, name: str) -> tuple[Path, Path, Path]:
    return clips.made / f"{name}.wav", clips.true / f"{name}.wav", clips.faces / f"{name}.mp4"


def _speak(
    clips: SpokenClips, name: str, sample: ShardSample, speaker: Speaker, voice: str, seed: int
) -> None:
    """The true sound first, for a clip that cannot be spoken for counts too. What is made comes
    last, so that a clip which has it has all."""
    made, true, face = _files(clips, name)
    write_wav(true, sample.sound[: int(sample.facts["num_frames"]) * SAMPLES_PER_FRAME])
    if "face.mp4" in sample.members:
        write_atomic(face, sample.members["face.mp4"])
    sound = speak_clip(speaker, sample, voice, seed)
    write_wav(made, np.rint(np.clip(sound, -1, 1) * FULL_SCALE))
