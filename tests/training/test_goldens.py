"""The losses of a training's first ten steps, as they were when it was first seen to be right.

On another processor the last digits differ. A value that moved by more says that batches, chance,
losses or networks are no longer the same.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.training.mouths import speaking
from tests.training.test_harness import losses, run, steady

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


def test_slts(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run(speaking(tmp_path / "corpus"), tmp_path / "run", steady(steps=10))
    torch.set_num_threads(threads)
    for name, wanted in SLTS.items():
        found = [row[name] for row in losses(tmp_path / "run")]
        np.testing.assert_allclose(found, wanted, rtol=2e-3, err_msg=name)
