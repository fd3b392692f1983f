"""ArcFace by both libraries: loading, input, length, order of a batch; weights are stand-ins."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.backends import arcface, registry, torch_network

SHARED = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[3] / "shared"))
CHIPS = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)


def test_facexlib_arcface_loads_and_equals_its_network(tmp_path, monkeypatch):
    arch = pytest.importorskip("facexlib.recognition.arcface_arch")
    torch.manual_seed(0)
    network = arch.Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se").eval()
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(torch_network, "weights", lambda _: path)
    embedder = registry.make(registry.EMBEDDERS, "arcface_facexlib")
    embedder.batch_size = 2  # the third chip is in a batch of its own
    made = embedder.embed(CHIPS)
    with torch.inference_mode():
        shown = torch.from_numpy(np.ascontiguousarray(CHIPS.transpose(0, 3, 1, 2)))
        theirs = network(shown / 127.5 - 1).numpy()
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert made.shape == (3, 512) and made.dtype == np.float32
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.abs(made - theirs).max() < 1e-4
    assert embedder.embed(CHIPS[:0]).shape == (0, 512)


def test_insightface_arcface_opens_a_recognition_file_by_its_own_normalization(monkeypatch):
    """buffalo_l's file is not at hand; another recognition file of 112 px stands for it."""
    pytest.importorskip("insightface")
    path = SHARED / "models" / "mobilefacenet_foamliu.onnx"
    if not path.exists():
        pytest.skip("the reference weights are not here")
    monkeypatch.setattr(arcface, "weights", lambda _: path)
    embedder = registry.make(registry.EMBEDDERS, "arcface_insightface")
    made = embedder.embed(CHIPS)
    shown = np.ascontiguousarray(((CHIPS.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2))
    session = embedder._network.session
    name = session.get_inputs()[0].name
    theirs = np.concatenate([session.run(None, {name: c[None]})[0] for c in shown])
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert np.abs(made - theirs).max() < 1e-4
