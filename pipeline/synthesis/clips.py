"""Speech for the clips of a corpus, whose faces are found and registered already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.shards import ShardSample
from training.data.mixture import Row
from training.harness.speaker import FaceSpeaker, Speaker


def speak_clip(
    speaker: Speaker, sample: ShardSample, voice: str | None = None, seed: int = 0
) -> np.ndarray:
    """float32 [640 T] in +-1 of all T frames of a clip, whose sound is not looked at. A `voice`
    that the model does not know is its unnamed one.

    Raises ShardError for a damaged sample, ValueError where the model cannot speak for it.
    """
    known: Sequence[str] = speaker.voices
    named = voice if voice in known else None
    view = replace(speaker.view, num_frames=None, sound=None, waveform=False, wide_rate=None)
    # Nothing is taken out of the sound, so nothing need be known of its lag.
    view = replace(view, pairing="corrected" if _was_corrected(sample) else "raw")
    pictures = np.asarray(view.decode(sample, Row(0, 0, 0, 0, 0, 0))["video"])
    length = int(sample.facts["num_frames"]) * SAMPLES_PER_FRAME
    if isinstance(speaker, FaceSpeaker):
        return speaker.speak_face(pictures, sample.landmarks, named, seed)[:length]
    return speaker.speak(pictures, named, seed)[:length]


def _was_corrected(sample: ShardSample) -> bool:
    return bool(sample.facts.get("applied_lag_ms"))
