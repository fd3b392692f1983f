"""ArcFace (insightface, facexlib) and MobileFaceNet: identity from 112 px aligned faces.

Deng et al. 2019 (arXiv 1801.07698); MobileFaceNets: Chen et al. 2018 (arXiv 1804.07573). All
embeddings are brought to length one, so that a distance is sqrt(2 - 2 cosine).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.backends.devices import need, open_insightface
from stages.backends.letterbox import half_precision, to_device
from stages.backends.torch_network import TorchNetwork
from stages.backends.weights import weights


class InsightFaceEmbedder:
    """An ONNX recognition file opened by insightface's model zoo."""

    name, version, chips = "", "1", "aligned"
    weights_name = ""
    same_person_distance = 0.0
    mean: tuple[float, ...] = (127.5,)
    """RGB of the input, 0..255; one value or three."""
    std: tuple[float, ...] = (127.5,)

    def __init__(self, device: str = "cpu") -> None:
        self.device_name = device
        self._network: Any = None

    def setup(self) -> None:
        """Open the file. Raises SetupError (library, weights or GPU wanting)."""
        if self._network is not None:
            return
        network = open_insightface(
            lambda: weights(self.weights_name), "ArcFaceONNX", self.device_name
        )
        self._network = network
        # What follows normalizes by itself: the published files differ in it.
        network.input_mean, network.input_std = 0.0, 1.0
        fixed = network.input_shape[0]
        self.batch_size = fixed if isinstance(fixed, int) and fixed > 0 else 32

    def embed(self, chips: np.ndarray) -> np.ndarray:
        self.setup()
        made = [np.zeros((0, self._network.output_shape[-1]), np.float32)]
        for start in range(0, len(chips), self.batch_size):
            part = (
                chips[start : start + self.batch_size].astype(np.float32)
                - np.array(self.mean, np.float32)
            ) / np.array(self.std, np.float32)
            made.append(self._network.forward(np.ascontiguousarray(part.transpose(0, 3, 1, 2))))
        return unit(np.concatenate(made))


class ArcFaceInsight(InsightFaceEmbedder):
    """ResNet-50 trained on WebFace600K (buffalo_l): 512 numbers. Non-commercial."""

    name, weights_name = "arcface_insightface", "w600k_r50.onnx"
    same_person_distance = 1.13
    """Recalled from serengil/deepface's table for ArcFace on unit vectors; not measured here."""


class MobileFaceNet(InsightFaceEmbedder):
    """foamliu's MobileFaceNet: 128 numbers; takes ImageNet's normalization."""

    name, weights_name = "mobilefacenet", "mobilefacenet_foamliu.onnx"
    same_person_distance = 1.18
    """Stands to this network's least-error limit on the reference clips (0.75) as dlib's 0.6 to
    dlib's own there (0.38)."""
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class ArcFaceFacexlib(TorchNetwork):
    """facexlib's IR-SE-50 (of InsightFace_Pytorch), trained on MS-Celeb-1M: 512 numbers."""

    name, version, chips = "arcface_facexlib", "1", "aligned"
    weights_name = "recognition_arcface_ir_se50.pth"
    same_person_distance = 1.13
    """As for `ArcFaceInsight`; not measured here."""
    batch_size = 32

    def build(self) -> Any:
        return need("facexlib.recognition.arcface_arch", "facexlib").Backbone(
            num_layers=50, drop_ratio=0.6, mode="ir_se"
        )

    def embed(self, chips: np.ndarray) -> np.ndarray:
        import torch

        self.setup()
        made = [np.zeros((0, 512), np.float32)]
        for start in range(0, len(chips), self.batch_size):
            with torch.inference_mode(), half_precision(self.device):
                # In rows of channels: facexlib flattens by `view`, which takes no other order.
                shown = to_device(chips[start : start + self.batch_size], self.device).contiguous()
                # As InsightFace_Pytorch trained it: RGB from a file, -1..1.
                made.append(self._network(shown / 127.5 - 1).float().cpu().numpy())
        return unit(np.concatenate(made))


def unit(vectors: np.ndarray) -> np.ndarray:
    """float32 [N, D] of length one each."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
