"""Sound above 16 kHz of a sample that has it (`clips.wide_audio`), at a rate that a model wants."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np
from scipy.signal import resample_poly

from manifests.clock import FRAME_RATE, SAMPLE_RATE
from manifests.media.sound import shifted
from manifests.shards import WIDE_AUDIO, ShardError, ShardSample
from training.data.sound_features import FULL_SCALE

REMEDY = "build the corpus with --set clips.wide_audio=true, or train at 16 kHz"


def wide_window(
    sample: ShardSample, rate: int, lag_samples: int, first_frame: int, num_frames: int
) -> np.ndarray:
    """Frames [first, first + num) as float32 [num rate / 25] in +-1; `lag_samples` of 16 kHz are
    taken out as `shifted` does. Raises ShardError for a sample without wide sound.

    The whole clip is resampled, so that a window is the same as in the whole.
    """
    if WIDE_AUDIO not in sample.members:
        raise ShardError(
            f"{sample.shard}: {sample.key} has no {WIDE_AUDIO}, so nothing above 16 kHz; {REMEDY}"
        )
    pcm, own_rate = sample.wide_sound
    moved = shifted(pcm, round(Fraction(lag_samples * own_rate, SAMPLE_RATE)))
    made = moved / FULL_SCALE
    if own_rate != rate:
        step = gcd(own_rate, rate)
        made = resample_poly(made, rate // step, own_rate // step)
    low, high = (int(f * rate / FRAME_RATE) for f in (first_frame, first_frame + num_frames))
    return made[low:high].astype(np.float32)
