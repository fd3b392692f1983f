"""The losses of a training's first ten steps, as they were when it was first seen to be right.

On another processor the last digits differ. A value that moved by more says that batches, chance,
losses or networks are no longer the same.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.training.mouths import speaking
from tests.training.test_harness import losses, run, steady
from tests.training.test_waveform_gan_training import config as gan
from tests.training.test_waveform_gan_training import run as run_gan

SLTS = {
    "hard": [
        0.95008,
        1.07454,
        1.01675,
        1.00953,
        0.93344,
        1.04415,
        1.00424,
        0.98636,
        1.0469,
        1.01627,
    ],
    "soft": [
        0.95576,
        1.04355,
        0.99198,
        1.03278,
        0.89278,
        0.99359,
        1.01889,
        0.97837,
        1.01866,
        0.92463,
    ],
    "ssm": [
        3.04522,
        3.04526,
        3.04443,
        3.04525,
        3.04481,
        3.04521,
        3.04519,
        3.04442,
        3.04519,
        3.04488,
    ],
}

WAVEFORM_GAN = {
    "mouth_l1": [0.24234, 0.24456],
    "l1": [
        36.28189,
        35.83651,
        34.30323,
        33.01463,
        31.84649,
        32.53294,
        30.00748,
        29.27381,
        28.27427,
        29.73837,
    ],
    "tv": [
        36.28738,
        36.0509,
        34.14816,
        32.60524,
        31.17141,
        32.05268,
        28.84669,
        28.1188,
        26.77113,
        28.61502,
    ],
    "perceptual": [
        1.90307,
        2.07519,
        1.79112,
        1.81442,
        1.79938,
        1.81125,
        1.43304,
        1.62313,
        1.6318,
        1.42156,
    ],
    "distance": [
        -0.00017,
        0.00344,
        0.00868,
        0.02338,
        0.02399,
        0.03829,
        0.04615,
        0.08917,
        0.03789,
        0.09248,
    ],
}
"""Two steps of its speech encoder, then ten of critic and generator."""


def test_slts(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run(speaking(tmp_path / "corpus"), tmp_path / "run", steady(steps=10))
    torch.set_num_threads(threads)
    for name, wanted in SLTS.items():
        found = [row[name] for row in losses(tmp_path / "run")]
        np.testing.assert_allclose(found, wanted, rtol=2e-3, err_msg=name)


def test_waveform_gan(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run_gan(speaking(tmp_path / "corpus"), tmp_path / "run", gan(steps=12))
    torch.set_num_threads(threads)
    for name, wanted in WAVEFORM_GAN.items():
        found = [row[name] for row in losses(tmp_path / "run") if name in row]
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4, err_msg=name)
