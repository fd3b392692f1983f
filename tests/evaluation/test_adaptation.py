"""A recogniser adapted on some clips understands others better."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import recogniser_adaptation as adaptation
from evaluation.metrics import recognition
from evaluation.pairing import read_texts
from tests.evaluation.clips import DATA, grid

pytest.importorskip("pocketsphinx")


def test_adapting_on_some_clips_helps_on_others(tmp_path):
    grid("bbaf2n")
    names = sorted(p.stem for p in (DATA / "grid_s1").glob("*.mpg"))
    texts = read_texts(DATA / "grid_s1" / "align")
    train, test = names[::3], names[1::4]
    out = tmp_path / "model"
    assert adaptation.adapt(((texts[n], grid(n)) for n in train), out) == len(train)
    rates = []
    for decoder in (recognition.grid_decoder(), recognition.grid_decoder(hmm=str(out))):
        edits = 0
        for name in test:
            recognition.hear(decoder, grid(name))
            edits += recognition.edits(texts[name].split(), recognition.words_of(decoder).split())
        rates.append(edits / (6 * len(test)))
    plain, adapted = rates
    assert adapted < 0.75 * plain


def test_gaussians_are_written_as_they_are_read(tmp_path):
    source = recognition.acoustic_model() / "means"
    means = adaptation.read_gaussians(source)
    assert means.shape == (42, 3, 128, 13)
    adaptation.write_gaussians(tmp_path / "means", source, means + 1)
    np.testing.assert_allclose(adaptation.read_gaussians(tmp_path / "means"), means + 1, rtol=1e-6)
    assert len(adaptation.phone_names(source.parent / "mdef")) == 42


def test_differences_of_a_ramp():
    ramp = np.arange(20.0)[:, None] * np.ones((1, 13))
    found = adaptation.with_differences(ramp)
    assert found.shape == (20, 3, 13)
    assert (found[5:15, 1] == 4).all() and (found[5:15, 2] == 0).all()
    np.testing.assert_allclose(found[:, 0].mean(axis=0), 0, atol=1e-12)


def test_texts_of_another_language_are_left_out(tmp_path):
    with pytest.raises(ValueError, match="nothing to adapt on"):
        adaptation.adapt([("quite other words", np.zeros(16000))], tmp_path / "model")
