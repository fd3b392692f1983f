"""STOI (Taal et al. 2011) and ESTOI (Jensen and Taal 2016), computed by pystoi.

pystoi returns 1e-5 where fewer than 30 frames stay after silence is removed; here that is
`TooShort`, so that it never enters a mean.
"""

from __future__ import annotations

import warnings

import numpy as np

from evaluation.metrics.errors import TooShort
from evaluation.metrics.signals import SAMPLE_RATE, pair


def stoi(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Short-time objective intelligibility, about 0 to 1 (Taal et al. 2011, eq. 6).

    Both float [N] at 16 kHz; resampled to 10 kHz inside, frames more than 40 dB below the
    reference's loudest removed. Raises NoScore.
    """
    return _stoi(reference, hypothesis, extended=False)


def estoi(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Extended STOI, about 0 to 1 (Jensen and Taal 2016, eq. 8). Otherwise as `stoi`."""
    return _stoi(reference, hypothesis, extended=True)


def _stoi(reference: np.ndarray, hypothesis: np.ndarray, extended: bool) -> float:
    import pystoi

    reference, hypothesis = pair(reference, hypothesis)
    # pystoi adds noise at machine precision from numpy's global generator: with a fixed seed
    # the same pair gives the same bits, and the caller's generator stays as it was.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            value = pystoi.stoi(reference, hypothesis, SAMPLE_RATE, extended=extended)
    except RuntimeWarning as warning:
        if "Not enough STFT frames" not in str(warning):
            raise ValueError(f"pystoi: {warning}") from None
        raise TooShort("under 30 frames (384 ms) of the reference are not silent") from None
    except ValueError as error:
        # Under two frames numpy itself complains, before pystoi counts them.
        if len(reference) < 2 * SAMPLE_RATE // 10:
            raise TooShort(f"{len(reference)} samples are under 384 ms") from error
        raise
    finally:
        np.random.set_state(state)
    return float(value)
