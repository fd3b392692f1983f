"""FAN 2D (face-alignment): four stacked hourglasses, a heat map for each of the 68 points.

Bulat & Tzimiropoulos 2017 (arXiv 1703.07332). The network is face-alignment's; crops, batches
and the reading of the heat maps are ours, to the published rule: the crop is a square about the
detector's box, raised by 0.12 of it; a point is the heat map's peak, a quarter pixel towards
its higher neighbour; the mean with the mirrored picture's maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from stages.backends.devices import need
from stages.backends.letterbox import half_precision, to_device
from stages.backends.mesh68 import MIRROR_68
from stages.backends.torch_network import TorchNetwork

CROP_PX, MAP_PX = 256, 64
CROP_SIDES, CROP_UP = 2.76, 0.22
"""Side of the crop and how far its centre lies above the house square's, in sides of it:
face-alignment's (w + h) * 200 / 165 and 0.12 h for RetinaFace's boxes, brought to the square."""


class Fan2D(TorchNetwork):
    """2DFAN-4: 24 million parameters, for GPUs; half precision there."""

    name, version = "fan_2d", "1"
    weights_name = "2DFAN4-11f355bf06.pth.tar"
    in_colour, batched = True, True
    gathered = 1
    batch_size = 16

    def build(self) -> Any:
        return need("face_alignment.models", "face-alignment").FAN(4)

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return self.fit_many([picture] * len(boxes), boxes)

    def fit_many(self, pictures: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """As `fit`, with a picture of its own for each box: batches across frames and faces."""
        self.setup()
        return fit_in_batches(pictures, boxes, self.batch_size, self.places)

    def places(self, crops: np.ndarray) -> np.ndarray:
        """Crops uint8 [N, 256, 256, 3] RGB -> places float32 [N, 68, 2] in px of the map."""
        import torch

        with torch.inference_mode(), half_precision(self.device):
            shown = to_device(crops, self.device) / 255
            maps = self._network(shown)[-1].float()
            mirrored = self._network(shown.flip(3))[-1].float().flip(3)
            return peaks(maps + mirrored[:, list(MIRROR_68)]).cpu().numpy()


def fit_in_batches(
    pictures: Sequence[np.ndarray],
    boxes: np.ndarray,
    batch_size: int,
    places: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Points float32 [N, 68, 2] px of a picture and a square xyxy each; `places` is the network."""
    points = np.empty((len(boxes), 68, 2), np.float32)
    for start in range(0, len(boxes), batch_size):
        rows = range(start, min(start + batch_size, len(boxes)))
        frames = [crop_frame(boxes[i]) for i in rows]
        crops = np.stack(
            [cut_crop(pictures[i], *frame) for i, frame in zip(rows, frames, strict=True)]
        )
        for i, place, (centre, side) in zip(rows, places(crops), frames, strict=True):
            points[i] = to_picture(place, centre, side)
    return points


def crop_frame(box: np.ndarray) -> tuple[np.ndarray, float]:
    """The face's square xyxy px -> centre [2] and side of FAN's crop, px (pixel edges)."""
    side = float(max(box[2] - box[0], box[3] - box[1], 1.0))
    centre = (box[:2] + box[2:]) / 2 + np.array([0.5, 0.5 - CROP_UP * side])
    return centre, CROP_SIDES * side


def to_picture(places: np.ndarray, centre: np.ndarray, side: float) -> np.ndarray:
    """Places in map px, counted from the edge, -> pixels of the picture."""
    return (places / MAP_PX - 0.5) * side + centre - 0.5


def peaks(maps: Any) -> Any:
    """Heat maps [N, 68, 64, 64] -> places [N, 68, 2] in map px, counted from the edge."""
    import torch

    count, points, height, width = maps.shape
    index = maps.flatten(2).argmax(2)
    y, x = index // width, index % width
    place = torch.stack([x, y], -1).float() + 0.5
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    padded = torch.nn.functional.pad(maps, (1, 1, 1, 1))
    n = torch.arange(count, device=maps.device)[:, None]
    p = torch.arange(points, device=maps.device)[None]
    across = padded[n, p, y + 1, x + 2] - padded[n, p, y + 1, x]
    down = padded[n, p, y + 2, x + 1] - padded[n, p, y, x + 1]
    return place + 0.25 * torch.sign(torch.stack([across, down], -1)) * inner[..., None]


def cut_crop(picture: np.ndarray, centre: np.ndarray, side: float) -> np.ndarray:
    """The square of a picture as uint8 [256, 256, 3]; black beyond the picture, as published."""
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    low = np.floor(centre - side / 2).astype(int)
    size = max(2, round(side))
    window = np.zeros((size, size, 3), np.uint8)
    height, width = picture.shape[:2]
    x0, y0 = np.maximum(low, 0)
    x1, y1 = min(low[0] + size, width), min(low[1] + size, height)
    if x0 < x1 and y0 < y1:
        window[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = picture[y0:y1, x0:x1]
    return cv2.resize(
        window,
        (CROP_PX, CROP_PX),
        interpolation=cv2.INTER_AREA if size > CROP_PX else cv2.INTER_LINEAR,
    )
