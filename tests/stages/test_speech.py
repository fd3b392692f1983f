"""Speech by onnxruntime: the spans that silero-vad itself gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from stages.sync.speech import SpeechDetector, speech_spans


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.05])
def test_spans_are_by_sileros_own_rule(threshold):
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    random = np.random.default_rng(7)
    for length in (1, 5, 40, 300, 300, 300):
        smooth = np.convolve(random.random(length + 8), np.ones(9) / 9, "valid")
        values = np.clip((smooth - 0.5) * random.uniform(2, 9) + threshold, 0, 1)
        samples = 512 * length - int(random.integers(0, 512))
        expected = get_speech_timestamps_from_probs(
            values.tolist(),
            audio_length_samples=samples,
            threshold=threshold,
            sampling_rate=16000,
            min_speech_duration_ms=120,
            min_silence_duration_ms=120,
            speech_pad_ms=30,
        )
        found = speech_spans(values, samples, threshold)
        assert found == [(one["start"], one["end"]) for one in expected]


def test_a_recording_is_heard_as_step_by_step():
    from silero_vad import load_silero_vad
    from torch import from_numpy

    from pipeline.demo.voice import speak

    speech = speak(3.0, 150.0, 1.0, 5)
    pcm = (np.pad(speech.pcm, (9000, 7001)) * 32767).astype(np.int16)
    found = SpeechDetector().probabilities(pcm)
    model = load_silero_vad()
    padded = np.pad(pcm, (0, -len(pcm) % 512)).astype(np.float32) / 32768
    steps = [float(model(from_numpy(step), 16000)) for step in padded.reshape(-1, 512)]
    assert found.shape == (len(steps),) and max(steps) > 0.5 > min(steps)
    assert np.abs(found - steps).max() < 1e-3


def test_no_torch_is_loaded_for_it():
    code = (
        "import sys, numpy as np; from stages.sync.speech import SpeechDetector;"
        "SpeechDetector().regions(np.zeros(9000, np.int16)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
