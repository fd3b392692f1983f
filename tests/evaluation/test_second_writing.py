"""Kept libraries against the same metric written again (tools/*_reference.py)."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import quality
from evaluation.metrics.signals import within_full_scale
from tests.evaluation.clips import delayed, grid
from tools import ge2e_reference, visqol_reference


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray]:
    sound = grid("bbaf2n").astype(np.float64)
    noise = np.random.default_rng(0).standard_normal(len(sound)) * sound.std()
    return sound, delayed(sound + 0.3 * noise, 700)


def test_visqol_is_what_its_definition_gives(noisy):
    pytest.importorskip("visqol")
    assert quality.visqol(*noisy) == pytest.approx(visqol_reference.visqol(*noisy), abs=1e-9)


def test_visqol_gives_the_published_score_of_a_perfect_copy(noisy):
    """kConformanceUnscaledPerfectScoreExponential of google/visqol's conformance.h, version 333;
    it is of any file against itself."""
    api = pytest.importorskip("visqol").VisqolApi()
    api.create(mode="speech", use_lattice_model=False, use_unscaled_speech=True)
    found = api.measure_from_arrays(noisy[0], noisy[0], 16000).moslqo
    assert found == pytest.approx(4.015861169223797, abs=1e-12)
    assert visqol_reference.mos(1.0, scaled=False) == pytest.approx(4.015861169223797, abs=1e-12)


def test_ge2e_hears_the_same_mels(noisy):
    theirs = pytest.importorskip("resemblyzer")
    for sound in noisy:
        kept = theirs.preprocess_wav(sound.astype(np.float32), source_sr=16000)
        speech = ge2e_reference.speech_of(sound)
        np.testing.assert_allclose(speech, kept, atol=1e-6)
        mels = theirs.audio.wav_to_mel_spectrogram(kept)
        np.testing.assert_allclose(ge2e_reference.mel(speech), mels, rtol=1e-3, atol=1e-7)


def test_ge2e_gives_the_same_embedding(noisy):
    pytest.importorskip("onnx")
    pytest.importorskip("resemblyzer")
    from evaluation.metrics import voice

    embed = ge2e_reference.embedder(voice.weights_path())
    sound = within_full_scale(noisy[1])  # beyond it the other writing wraps around
    np.testing.assert_allclose(embed(sound), voice.embed(noisy[1]), atol=1e-5)
