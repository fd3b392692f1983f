"""The same pictures give the same bytes, whatever lies in memory beside them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.demo.programme import steady, write_media

# The AVX-512 code of x264's lookahead read beyond its rows at this width, B-frames given.
SIZE_PX = 288


def rolling_pictures() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    steps = np.kron(random.integers(40, 200, (6, 8, 3)), np.ones((48, 36, 1))).astype(np.uint8)
    return [np.roll(steps, i, 1) for i in range(60)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # Matroska else carries a random number
def test_two_files_of_one_series_of_pictures_are_the_same(tmp_path, suffix):
    pictures = rolling_pictures()
    assert pictures[0].shape == (SIZE_PX, SIZE_PX, 3)
    sound = np.random.default_rng(2).normal(0, 0.1, 16_000 * 2).astype(np.float32)
    times = steady(Fraction(25), 60 / 25)
    contents = set()
    for number in range(8):
        path = tmp_path / f"{number}{suffix}"
        write_media(path, iter(pictures), times, sound)
        contents.add(path.read_bytes())
    assert len(contents) == 1
