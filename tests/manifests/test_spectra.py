"""The mel banks keep their values, agree with the libraries they come from, and exist once.

Weights and printed scores are bound to these numbers. Banks are pinned as float32, which hides
the last bit of a machine's `log10`; the digests are those of the definitions that stood in four
modules before.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics import mcd
from evaluation.metrics import spectra as frontend
from manifests import spectra
from stages.networks import lipsync_features, lipsync_linear

ROOT = Path(__file__).resolve().parents[2]
BANKS = {
    "lipsync": spectra.mel_htk(40, 512, 60.0, 7600.0),
    "lipsync_linear": spectra.mel_htk(26, 512, 60.0, 7600.0),
    "mfcc": spectra.mel_htk_whole_bins(26, 512),
    "alignment": spectra.mel_slaney(80, 640),
    "ge2e": spectra.mel_slaney(40, 400),
}


@pytest.mark.parametrize(
    "name, digest",
    [
        ("lipsync", "f3a244dacb0d2c52"),
        ("lipsync_linear", "a5a0f7670c73166d"),
        ("mfcc", "759812c893efa383"),
        ("alignment", "58dc9469ed5ab5da"),
        ("ge2e", "f78d817ac81d676c"),
    ],
)
def test_a_bank_keeps_its_values(name, digest):
    bank = BANKS[name].astype(np.float32)
    assert hashlib.sha256(bank.tobytes()).hexdigest()[:16] == digest
    with pytest.raises(ValueError, match="read-only"):
        BANKS[name][0, 0] = 1


def published_signal() -> np.ndarray:
    index = np.arange(16000, dtype=np.int64)
    return ((7 * index * index) % 4001 - 2000).astype(np.int16)


@pytest.mark.parametrize(
    "bands, shape, row_10",
    [
        (lipsync_features.log_mel, (100, 40), [-1.1239952, 0.31611887, 0.45308065]),
        (lipsync_linear.log_mel, (100, 26), [-0.27232867, -0.6444221, 0.671651]),
        (
            lambda pcm: frontend.log_mel(pcm / 32768),
            (97, 80),
            [-4.9913359, -3.55447879, -4.06076314],
        ),
    ],
)
def test_the_features_of_each_model_keep_their_values(bands, shape, row_10):
    found = bands(published_signal())
    assert found.shape == shape
    assert found[10, [0, 7, -1]] == pytest.approx(row_10, abs=2e-4)


def test_scores_and_networks_hear_the_same_cepstra():
    """MCD takes floats of any scale, the networks int16: c0 apart, a scale changes nothing."""
    from stages.networks.mfcc import mfcc

    pcm = published_signal()
    assert np.allclose(mcd.mfcc(pcm.astype(float))[1:], mfcc(pcm)[1:], atol=1e-3)


def test_the_three_banks_are_three():
    htk, whole, slaney = (
        bank(26, 512) for bank in (spectra.mel_htk, spectra.mel_htk_whole_bins, spectra.mel_slaney)
    )
    assert (whole.max(1) == 1).all() and (htk.max(1) < 1).any()
    assert np.abs(htk - whole).max() > 0.2
    areas = slaney.sum(1) * 16000 / 512
    assert np.allclose(areas, 1, atol=0.05)


def test_the_banks_are_librosas():
    filters = pytest.importorskip("librosa").filters
    for bands, size, low, high in (
        (80, 640, 0.0, 8000.0),
        (80, 640, 55.0, 7600.0),
        (40, 400, 0.0, 8000.0),
    ):
        theirs = filters.mel(
            sr=16000, n_fft=size, n_mels=bands, fmin=low, fmax=high, dtype=np.float64
        )
        assert np.allclose(
            spectra.mel_slaney(bands, size, low, high), theirs, rtol=1e-9, atol=1e-15
        )
    theirs = filters.mel(sr=16000, n_fft=1024, n_mels=80, htk=True, norm=None, dtype=np.float64)
    assert np.allclose(spectra.mel_htk(80, 1024), theirs, rtol=1e-9, atol=1e-12)


def test_scales_and_their_inverses():
    hertz = np.array([0.0, 440.0, 1000.0, 6400.0])
    for there, back in (
        (spectra.hertz_to_mel_htk, spectra.mel_to_hertz_htk),
        (spectra.hertz_to_mel_slaney, spectra.mel_to_hertz_slaney),
    ):
        assert np.allclose(back(there(hertz)), hertz)
    assert spectra.hertz_to_mel_slaney(6400.0) == pytest.approx(42)
    assert spectra.hertz_to_mel_htk(1000.0) == pytest.approx(999.99, abs=0.01)


def test_a_delay_by_whole_hops_moves_whole_rows_and_the_inverse_comes_back():
    sound = np.random.default_rng(0).standard_normal(8000)
    spectrum = spectra.stft(sound, 640, 160)
    assert np.array_equal(spectra.stft(sound[480:], 640, 160), spectrum[3:])
    assert np.allclose(spectra.inverse_stft(spectrum, 640, 160)[10:-10], sound[10:-10])
    with pytest.raises(ValueError):
        spectra.stft(sound[:639], 640, 160)


def test_centred_power_is_centred():
    click = np.zeros(1600, np.float32)
    click[480] = 1
    assert spectra.centred_power(click, 400, 160, 512).sum(1).argmax() == 3


def test_no_second_mel_scale_and_no_second_framing():
    scale = re.compile(
        r"\b2595\b|\b1127\b|log\(6\.4\)|sliding_window_view\(.*\)\[[^\],]*:[^\],]*:"
        r"|\w\.hann(ing)?(_window)?\(|def (\w*_)?hann(ing|_\w*)?\(|torch\.stft"
        r"|from (?!manifests\.spectra )\S+ import .*\bhann\b"
    )
    found = {}
    for package in ("manifests", "stages", "training", "evaluation", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            lines = [line.strip() for line in path.read_text().splitlines() if scale.search(line)]
            if lines and path != ROOT / "manifests/spectra.py":
                found[str(path.relative_to(ROOT))] = lines
    assert not found, found
