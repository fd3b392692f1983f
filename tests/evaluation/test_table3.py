"""Niu and Mak, Table 3: one GRID clip against itself, delayed by a few milliseconds."""

from __future__ import annotations

import pytest

from evaluation.metrics.intelligibility import estoi, stoi
from evaluation.metrics.mcd import mcd
from tests.evaluation.clips import delayed, grid

PRINTED = (
    (0, 1.000, 1.000, 0.000),
    (4, 0.916, 0.869, 11.651),
    (8, 0.770, 0.708, 15.605),
    (12, 0.660, 0.594, 18.712),
)


@pytest.mark.parametrize(("delay_ms", "want_stoi", "want_estoi", "want_mcd"), PRINTED)
def test_table_3(delay_ms, want_stoi, want_estoi, want_mcd):
    sound = grid("bbaf2n")
    late = delayed(sound, delay_ms * 16)
    assert round(stoi(sound, late), 3) == want_stoi
    assert round(estoi(sound, late), 3) == want_estoi
    assert mcd(sound, late) == pytest.approx(want_mcd, rel=1e-3, abs=1e-9)
