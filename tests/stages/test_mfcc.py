"""The cepstra against figures of python_speech_features 0.6, and the traps around them."""

from __future__ import annotations

import numpy as np
import pytest

from stages.networks import mfcc as net


def published_signal() -> np.ndarray:
    index = np.arange(16000, dtype=np.int64)
    return ((7 * index * index) % 4001 - 2000).astype(np.int16)


def test_equals_the_published_library():
    cepstra = net.mfcc(published_signal())
    assert cepstra.shape == (99, 13) and cepstra.dtype == np.float32
    assert cepstra.mean() == pytest.approx(-4.07237, abs=1e-4)
    assert np.allclose(cepstra[0, :4], [20.0121, -34.8256, -6.3101, -5.5381], atol=1e-3)


def test_the_scale_of_the_samples_matters():
    with pytest.raises(TypeError, match="int16"):
        net.mfcc(published_signal().astype(np.float32) / 32768)
    with pytest.raises(ValueError, match="one channel"):
        net.mfcc(np.zeros((2, 100), np.int16))


@pytest.mark.parametrize(
    "num_samples, columns",
    [
        (1, 1),
        (400, 1),
        (401, 2),
        (560, 2),
        (561, 3),
        (16000, 99),
        (47648, 297),
    ],
)
def test_columns(num_samples, columns):
    assert net.num_columns(num_samples) == columns
    assert len(net.mfcc(np.ones(num_samples, np.int16))) == columns


def test_chunks_leave_no_seam(monkeypatch):
    noise = np.random.default_rng(3).integers(-9000, 9000, 12345).astype(np.int16)
    whole = net.mfcc(noise)
    monkeypatch.setattr(net, "_CHUNK", 7)
    assert np.array_equal(net.mfcc(noise), whole)


def test_silence_is_finite():
    assert np.isfinite(net.mfcc(np.zeros(3000, np.int16))).all()
