"""Light-ASD against figures of the published code, and the traps of its demo."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.networks import light_asd as net

SHARED = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared"))


def weights(name: str) -> net.LightAsd:
    path = SHARED / "models" / f"light_asd_{name}.model"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here; set YLD_SHARED to the shared folder")
    return net.LightAsd.load(path)


def random_network() -> net.LightAsd:
    torch.manual_seed(4)
    network = net.LightAsd().eval()
    for part in network.modules():
        if hasattr(part, "running_var"):
            part.running_var.uniform_(0.5, 2)
            part.running_mean.uniform_(-0.2, 0.2)
    return network


def synthetic(count: int) -> tuple[np.ndarray, np.ndarray]:
    t, y, x = np.meshgrid(np.arange(count), np.arange(112), np.arange(112), indexing="ij")
    crops = ((7 * t + 3 * y + 5 * x + (t * y * x) % 17) % 256).astype(np.uint8)
    i, j = np.meshgrid(np.arange(4 * count), np.arange(13), indexing="ij")
    return crops, ((7 * i * (j + 3)) % 41 - 20).astype(np.float32)


def test_names_shapes_and_sizes():
    network = net.LightAsd()
    state = network.state_dict()
    assert len(state) == 192
    assert state["model.visualEncoder.block2.s_5.weight"].shape == (64, 32, 1, 5, 5)
    assert state["model.audioEncoder.block2.bn_t_3.running_var"].shape == (64,)
    sizes = [
        sum(p.numel() for p in m.parameters())
        for m in (
            network,
            network.model.visualEncoder,
            network.model.audioEncoder,
            network.model.GRU,
        )
    ]
    assert sizes == [1_021_636, 545_024, 277_952, 198_144]


@pytest.mark.parametrize(
    "name, speaks, first, silent, embeddings, passes, first_passes",
    [
        (
            "talkset",
            0.68676,
            [0.48256, 0.46635, 0.44518, 0.41890, 0.44965],
            -0.61278,
            [0.33313, 0.23175],
            0.72260,
            [0.56185, 0.55634, 0.53009],
        ),
        (
            "ava",
            -3.37127,
            [-2.09497, -2.54903, -3.08657, -3.21466, -3.12619],
            2.96580,
            [0.70129, 0.61560],
            -3.78224,
            [-2.12996, -2.57411, -3.11830],
        ),
    ],
)
def test_equals_the_published_code(name, speaks, first, silent, embeddings, passes, first_passes):
    network = weights(name)
    crops, cepstra = synthetic(25)
    # The figure taken beside the scores, 40 102 928, is this exact sum rounded to float32.
    assert crops.sum(dtype=np.int64) == 40_102_930 and np.float32(40_102_930) == 40_102_928
    assert cepstra.sum() == -446
    seen, heard = network.see(crops), network.hear(cepstra)
    assert [float(seen.mean()), float(heard.mean())] == pytest.approx(embeddings, abs=1e-4)
    outputs = network.decide(seen, heard)
    assert outputs[:, 1].mean() == pytest.approx(speaks, abs=1e-3)
    assert outputs[:, 0].mean() == pytest.approx(silent, abs=1e-3)
    assert np.allclose(outputs[:5, 1], first, atol=1e-3)
    scores = network.scores_of(*synthetic(75))
    assert scores.mean() == pytest.approx(passes, abs=1e-3)
    assert np.allclose(scores[:3], first_passes, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 7, 43])
def test_pieces_leave_no_seam(frames, monkeypatch):
    network = random_network()
    crops, cepstra = synthetic(frames)
    whole = network.scores_of(crops, cepstra, None)
    monkeypatch.setattr(net, "CHUNK_FRAMES", 5)
    assert np.allclose(network.scores_of(crops, cepstra, None), whole, atol=1e-5)
    # The margin is as wide as it must be: one frame less is seen.
    monkeypatch.setattr(net.LightAsd, "reach_frames", 5)
    close = np.allclose(network.see(crops), _whole(network, crops), atol=1e-5)
    assert close == (frames < 12)


def test_a_long_track_is_never_held_whole():
    network, held = random_network(), []
    network.model.visualEncoder.register_forward_pre_hook(
        lambda _m, inputs: held.append(inputs[0].shape[2])
    )
    crops = np.broadcast_to(np.uint8(90), (250, 112, 112))
    assert len(network.see(crops)) == 250
    assert held == [102, 108, 64]


def _whole(network: net.LightAsd, crops: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        x = (torch.from_numpy(crops).float() / 255 - 0.4161) / 0.1688
        return network.model.visualEncoder(x[None, None])[0]


def test_passes_are_means_of_windows_that_know_nothing_of_each_other():
    network = random_network()
    crops, cepstra = synthetic(40)
    one = np.concatenate(
        [
            network.scores_of(crops[a:b], cepstra[4 * a : 4 * b], None)
            for a, b in ((0, 25), (25, 40))
        ]
    )
    whole = network.scores_of(crops, cepstra, None)
    assert np.allclose(network.scores_of(crops, cepstra, [1]), one, atol=1e-6)
    assert np.allclose(network.scores_of(crops, cepstra), (one + 5 * whole) / 6, atol=1e-5)
    assert not np.allclose(one, whole, atol=1e-4)


def test_every_frame_has_its_columns():
    pcm = np.random.default_rng(0).integers(-3000, 3000, 640 * 30).astype(np.int16)
    assert net.features(pcm, 30).shape == (120, 13)
    # Sound beyond the last frame is used where it exists.
    assert not np.allclose(net.features(pcm, 29)[-1], net.features(pcm[: 640 * 29], 29)[-1])
    assert np.array_equal(net.features(pcm, 29)[:-2], net.features(pcm[: 640 * 29], 29)[:-2])
    with pytest.raises(ValueError, match="19840 samples"):
        net.features(pcm, 31)


def test_wrong_inputs_are_named():
    network = random_network()
    crops, cepstra = synthetic(3)
    with pytest.raises(TypeError, match="uint8"):
        network.see(crops.astype(np.float32))
    with pytest.raises(ValueError, match=r"\[T, 112, 112\]"):
        network.see(crops[:, :100])
    with pytest.raises(ValueError, match="12 columns"):
        network.scores_of(crops, cepstra[:8])
    with pytest.raises(ValueError, match="at least a frame"):
        network.scores_of(crops, cepstra, [0.01])
    with pytest.raises(ValueError, match=r"\[4 T, 13\]"):
        network.hear(cepstra[:, :12])


def test_a_foreign_file_does_not_load(tmp_path):
    state = net.LightAsd().state_dict()
    state.pop("lossV.FC.bias")
    torch.save(state, tmp_path / "a.model")
    with pytest.raises(RuntimeError, match=r"lossV\.FC\.bias"):
        net.LightAsd.load(tmp_path / "a.model")
