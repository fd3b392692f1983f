"""Faces written in pieces read back as one table, whatever the pieces."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.arrays import load_npz, npz_writer
from stages.faces import side_file
from stages.faces.chips import CHIP_SHAPES, FaceChips
from stages.faces.side_file import FaceRows, FaceRowsWriter
from stages.faces.tracklets import TrackletRows
from stages.networks.lipsync_features import MOUTH_SHAPE


def some(number: int, start: int, end: int) -> TrackletRows:
    """Rows whose every value tells its tracklet and frame; a chip every tenth frame."""
    frames = list(range(start, end))

    def chips(frame: int) -> FaceChips:
        return FaceChips(
            **{
                n: np.full(shape, (number * 50 + frame) % 251, np.uint8)
                for n, shape in CHIP_SHAPES.items()
            }
        )

    return TrackletRows(
        number,
        frames,
        [np.full(4, number * 1000.0 + f) for f in frames],
        [np.full((68, 2), number * 1000.0 + f) for f in frames],
        [f / 1000 for f in frames],
        [np.full(MOUTH_SHAPE, f % 251, np.uint8) for f in frames],
        [(f, chips(f), 1.0) for f in frames if f % 10 == 0],
    )


@pytest.fixture(params=[1, 35, 10_000])
def rows(request, tmp_path, monkeypatch) -> FaceRows:
    monkeypatch.setattr(side_file, "PIECE_ROWS", request.param)
    with npz_writer(tmp_path / "faces.npz") as out:
        writer = FaceRowsWriter(out)
        for start in range(0, 100, 20):
            writer.push([some(0, start, start + 20), some(1, start, start + 13)], 2.0)
        writer.flush()
    return FaceRows(tmp_path / "faces.npz")


def test_a_span_of_frames_reads_back(rows):
    found = rows.between(15, 61)
    for tracklet, count in ((0, 46), (1, 13 * 2 + 1)):
        mine = found["slot"] == tracklet
        frames = found["frame"][mine]
        assert mine.sum() == count and (np.diff(frames) > 0).all()
        assert frames.min() >= 15 and frames.max() < 61
        assert (found["boxes"][mine][:, 0] == (tracklet * 1000 + frames) * 2).all()
        assert (found["landmarks"][mine][:, 5, 1] == (tracklet * 1000 + frames) * 2).all()
        assert (found["mouths"][mine][:, 0, 0] == frames % 251).all()
    empty = rows.between(500, 600)
    assert empty["landmarks"].shape == (0, 68, 2) and empty["mouths"].dtype == np.uint8


def test_chips_read_back_by_row_in_any_order(rows):
    wanted = np.flatnonzero(rows.chip_slot == 1)[::-1]
    chips = rows.chips("aligned", wanted)
    assert (chips[:, 0, 0, 0] == (50 + rows.chip_frame[wanted]) % 251).all()
    assert rows.chips("chips", []).shape == (0, *CHIP_SHAPES["chips"])


def test_a_video_without_faces_has_an_empty_table(tmp_path):
    with npz_writer(tmp_path / "none.npz") as out:
        FaceRowsWriter(out).flush()
    rows = FaceRows(tmp_path / "none.npz")
    assert len(rows.chip_frame) == 0 and len(rows.between(0, 100)["frame"]) == 0


def test_an_error_half_way_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="broken"), npz_writer(tmp_path / "x.npz") as out:
        out.add({"a": np.zeros(3)})
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    for value in (1, 2):
        with npz_writer(tmp_path / "x.npz") as out:
            out.add({"g/a": np.full(3, value)})
        assert load_npz(tmp_path / "x.npz", "g/")["a"][0] == value
