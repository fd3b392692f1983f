"""PESQ (ITU-T P.862, P.862.1, P.862.2) and ViSQOL in speech mode, by kept libraries."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.signal import resample_poly

from evaluation.metrics.errors import NoScore, TooShort, Unavailable
from evaluation.metrics.signals import SAMPLE_RATE, pair

NARROW_RATE = 8000
MIN_PESQ_S = 0.25
"""P.862 wants a quarter of a second; its C code reads past its buffers on less."""
MIN_VISQOL_S = 0.6
"""One patch of 30 frames (ViSQOL, Hines et al. 2015: 600 ms in speech mode)."""


def pesq_nb(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Narrow-band PESQ as MOS-LQO, 1.0 to 4.549 (P.862.1), both brought to 8 kHz.

    This is what Niu and Mak (section 4.2) and VCA-GAN report. Both float [N] at 16 kHz. Needs
    the package pesq (extra `native-metrics`). Raises NoScore.
    """
    return _pesq(reference, hypothesis, "nb")


def pesq_wb(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Wide-band PESQ as MOS-LQO, up to 4.644 (P.862.2). Otherwise as `pesq_nb`."""
    return _pesq(reference, hypothesis, "wb")


def pesq_raw(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """The raw P.862 score, -0.5 to 4.5, from `pesq_nb` by the inverse of P.862.1."""
    return raw_of_lqo(pesq_nb(reference, hypothesis))


def raw_of_lqo(lqo: float) -> float:
    """Raw P.862 score of a narrow-band MOS-LQO, which is the raw one through a logistic curve
    from 0.999 to 4.999 (P.862.1, eq. 1)."""
    return float((4.6607 - np.log(4 / (lqo - 0.999) - 1)) / 1.4945)


def _pesq(reference: np.ndarray, hypothesis: np.ndarray, band: str) -> float:
    try:
        import pesq
    except ImportError:
        raise Unavailable(
            "pesq is not installed (extra `native-metrics`, which needs a compiler)"
        ) from None
    reference, hypothesis = pair(reference, hypothesis)
    if len(reference) < MIN_PESQ_S * SAMPLE_RATE:
        raise TooShort(f"{len(reference) / SAMPLE_RATE:.2f} s are under {MIN_PESQ_S} s")
    rate = SAMPLE_RATE
    if band == "nb":
        rate = NARROW_RATE
        reference, hypothesis = (resample_poly(s, 1, 2) for s in (reference, hypothesis))
    try:
        value = pesq.pesq(rate, reference.astype(np.float32), hypothesis.astype(np.float32), band)
    except pesq.NoUtterancesError as error:
        raise NoScore(f"P.862 finds no utterance: {_text(error)}") from None
    except pesq.PesqError as error:
        raise NoScore(f"P.862: {_text(error)}") from None
    return float(value)


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)


def visqol(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """ViSQOL MOS-LQO in speech mode, 1 to 5 (Hines et al. 2015), 16 kHz.

    By the Python port visqol-python, with ViSQOL 3.3.3's exponential map of mean similarity to
    MOS, scaled to 5 (`--use_lattice_model=false`); not the lattice network of newer ViSQOL, nor
    the papers' MATLAB version. It aligns patches itself. Both float [N] at 16 kHz. Raises NoScore.
    """
    reference, hypothesis = pair(reference, hypothesis)
    if len(reference) < MIN_VISQOL_S * SAMPLE_RATE:
        raise TooShort(f"{len(reference) / SAMPLE_RATE:.2f} s are under {MIN_VISQOL_S} s")
    return float(_visqol().measure_from_arrays(reference, hypothesis, SAMPLE_RATE).moslqo)


@cache
def _visqol():
    try:
        from visqol import VisqolApi
    except ImportError:
        raise Unavailable("visqol-python is not installed") from None
    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
