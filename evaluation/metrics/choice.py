"""What a model is chosen by while it trains: the scores of `yld evaluate`, on arrays.

The plain ones are `metrics.intelligibility.stoi` and `metrics.mcd.mcd`; the frontend's offset is
`metrics.alignment.find_shift(reference, guess).offset_ms`, > 0 where the guess is late. Where the
guess follows the pictures, that is how late the pictures of the reference's clip are, with the
sign of docs/clock.md.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.alignment import apply_shift, find_shift
from evaluation.metrics.intelligibility import stoi


def aligned_stoi(reference: np.ndarray, guess: np.ndarray) -> float:
    """a-STOI (Niu and Mak, section 4.3): STOI after the alignment frontend, about 0 to 1.

    Both float [N] at 16 kHz, of any lengths that a shift explains. The value of `yld evaluate`'s
    `a-stoi`. Raises NoScore, above all Silent and TooShort: what a young model says may be
    silence, which has no score rather than one of 0.
    """
    return stoi(*apply_shift(reference, guess, find_shift(reference, guess).shift_ms))
