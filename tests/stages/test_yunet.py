"""YuNet's outputs are read as its paper says, whatever network gives them."""

from __future__ import annotations

import numpy as np
import pytest

from stages.backends.yunet import OUTPUTS, STRIDES_PX, YuNet, best_apart
from stages.base import SetupError


class Planted:
    """A network that sees one face in a cell of one grid, with each likelihood 0.81."""

    def __init__(self, stride: int, row: int, column: int) -> None:
        self.where, self.shown = (stride, row, column), []

    def run(self, names, given):
        picture = given["input"]
        self.shown.append(picture)
        found = []
        for name in names:
            kind, stride = name.split("_")
            rows, columns = (side // int(stride) for side in picture.shape[2:])
            values = np.zeros((1, rows * columns, 4 if kind == "bbox" else 1), np.float32)
            if int(stride) == self.where[0]:
                cell = self.where[1] * columns + self.where[2]
                shape = [0.5, 0.25, np.log(4), np.log(6)]
                values[0, cell] = shape if kind == "bbox" else 0.81
            found.append(values)
        return found


@pytest.mark.parametrize("stride", STRIDES_PX)
@pytest.mark.parametrize("size", [(360, 640), (300, 500)])
def test_a_box_lies_about_its_cell(stride, size):
    detector = YuNet()
    detector._session = planted = Planted(stride, 2, 3)
    (boxes, scores), (none, _) = detector.detect(
        [np.full((*size, 3), (10, 20, 30), np.uint8), np.zeros(size, np.uint8)]
    )[:2]
    scale = 640 / size[1]
    middle = np.array([3.5, 2.25]) * stride
    half = np.array([4, 6]) * stride / 2
    assert np.allclose(boxes, np.concatenate([middle - half, middle + half])[None] / scale)
    assert np.allclose(scores, 0.81) and len(none) == 1
    shown = planted.shown[0]
    assert shown.shape[0] == 1 and all(side % 32 == 0 for side in shown.shape[2:])
    assert shown[0, :, 0, 0].tolist() == [30, 20, 10], "blue first, as OpenCV has it"
    detector.threshold = 0.9
    assert len(detector.detect([np.zeros((*size, 3), np.uint8)])[0][0]) == 0


def test_of_boxes_about_one_face_the_surest_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 30]], float)
    kept, scores = best_apart(boxes, np.array([0.6, 0.9, 0.7, 0.5]), 0.4)
    assert kept.tolist() == [[1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 30]]
    assert scores.tolist() == [0.9, 0.7, 0.5]
    assert len(best_apart(np.zeros((0, 4)), np.zeros(0), 0.4)[0]) == 0


def test_another_network_is_refused(tmp_path, monkeypatch):
    from stages.backends import yunet

    path = tmp_path / "x.onnx"
    path.write_bytes(b"no network")
    monkeypatch.setattr(yunet, "weights", lambda _: path)
    with pytest.raises(SetupError, match="cannot be opened"):
        YuNet().setup()
    assert len(OUTPUTS) == 9
