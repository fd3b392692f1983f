"""SyncNet with random weights of the released file's names and shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from manifests.weights.cache import ModelFileError
from stages.networks import syncnet as net
from stages.networks.mfcc import mfcc

# Layer number in the released file -> shape of its weight; norms follow at the next number.
AUDIO = {
    0: (64, 1, 3, 3),
    4: (192, 64, 3, 3),
    8: (384, 192, 3, 3),
    11: (256, 384, 3, 3),
    14: (256, 256, 3, 3),
    18: (512, 256, 5, 4),
}
LIP = {
    0: (96, 3, 5, 7, 7),
    4: (256, 96, 1, 5, 5),
    8: (256, 256, 1, 3, 3),
    11: (256, 256, 1, 3, 3),
    14: (256, 256, 1, 3, 3),
    18: (512, 256, 1, 6, 6),
}
HEAD = {0: (512, 512), 3: (1024, 512)}


def released_names() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for tower, layers in (
        ("netcnnaud", AUDIO),
        ("netcnnlip", LIP),
        ("netfcaud", HEAD),
        ("netfclip", HEAD),
    ):
        for number, shape in layers.items():
            shapes[f"{tower}.{number}.weight"] = shape
            shapes[f"{tower}.{number}.bias"] = shape[:1]
            if number == 3:
                continue
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{tower}.{number + 1}.{leaf}"] = shape[:1]
    return shapes


def random_state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(7)
    state = {}
    for name, shape in released_names().items():
        values = torch.randn(shape, generator=random)
        if name.endswith("running_var"):
            values = 0.5 + values.abs()
        elif len(shape) > 1:
            values *= (2 / values[0].numel()) ** 0.5
        else:
            values = 0.1 * values + (1.0 if name.endswith("weight") else 0.0)
        state[name] = values
    state["netcnnlip.0.weight"] /= 100  # pictures are 0..255
    return state


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> net.SyncNet:
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(random_state(), path)
    return net.SyncNet.load(path)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (12, 224, 224, 3)).astype(np.uint8)


def test_names_shapes_and_sizes():
    network = net.SyncNet()
    shapes = {
        n: tuple(v.shape)
        for n, v in network.state_dict().items()
        if not n.endswith("num_batches_tracked")
    }
    assert shapes == released_names()
    assert sum(p.numel() for p in network.parameters()) == 13_631_616
    assert sum(p.numel() for p in network.netcnnaud.parameters()) == 4_875_712
    assert sum(p.numel() for p in network.netcnnlip.parameters()) == 7_177_920


def test_layers_have_the_published_sizes():
    network, sizes = net.SyncNet().eval(), []
    for tower in (network.netcnnaud, network.netcnnlip):
        for layer in tower:
            if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.MaxPool2d | nn.MaxPool3d):
                layer.register_forward_hook(lambda _m, _i, o: sizes.append(tuple(o.shape[1:])))
    with torch.inference_mode():
        network.netcnnaud(torch.zeros(1, 1, 13, 20))
        network.netcnnlip(torch.zeros(1, 3, 5, 224, 224))
    assert sizes == [
        (64, 13, 20),
        (64, 13, 20),
        (192, 13, 20),
        (192, 11, 9),
        (384, 11, 9),
        (256, 11, 9),
        (256, 11, 9),
        (256, 5, 4),
        (512, 1, 1),
        (96, 1, 109, 109),
        (96, 1, 54, 54),
        (256, 1, 26, 26),
        (256, 1, 13, 13),
        (256, 1, 13, 13),
        (256, 1, 13, 13),
        (256, 1, 13, 13),
        (256, 1, 6, 6),
        (512, 1, 1, 1),
    ]


def test_a_foreign_file_does_not_load(tmp_path):
    state = random_state()
    state["netfclip.4.weight"] = state.pop("netfclip.3.weight")
    torch.save(state, tmp_path / "a.model")
    with pytest.raises(RuntimeError, match=r"lacks \['netfclip\.3\.weight'\].*netfclip\.4"):
        net.SyncNet.load(tmp_path / "a.model")


def test_a_damaged_file_says_what_to_do(tmp_path):
    path = tmp_path / "syncnet_v2.model"
    for content in (b"", b"nothing of a network" * 100, np.random.default_rng(0).bytes(4096)):
        path.write_bytes(content)
        with pytest.raises(
            ModelFileError,
            match=r"syncnet_v2\.model cannot be used.*Delete.*"
            r"yld models fetch syncnet_v2\.model",
        ) as caught:
            net.SyncNet.load(path)
        assert "weights_only" not in str(caught.value)
    path.with_name("syncnet_v2.model.json").write_text("{}")  # what was first trusted
    with pytest.raises(ModelFileError, match=r"syncnet_v2\.model\.json beside it"):
        net.SyncNet.load(path)


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_one_pass_over_a_track_equals_its_windows(network, crops, chunk, monkeypatch):
    monkeypatch.setattr(net, "CHUNK_WINDOWS", chunk)
    held = []
    hook = network.netcnnlip.register_forward_pre_hook(lambda _m, i: held.append(i[0].shape[2]))
    rows = network.see(iter(crops))
    hook.remove()
    assert rows.shape == (8, 1024) and max(held) <= chunk + 4
    with torch.inference_mode():
        for first in range(8):
            window = torch.from_numpy(crops[first : first + 5, ..., ::-1].copy())
            window = window.permute(3, 0, 1, 2)[None].float()
            single = network.netfclip(network.netcnnlip(window).flatten(1))[0].numpy()
            assert np.abs(rows[first] - single).max() < 1e-4
    assert np.abs(rows[0] - rows[1]).max() > 0.01  # the tower is not deaf to its input


def test_colours_are_not_swapped(network, crops):
    assert np.abs(network.see(crops[:5]) - network.see(crops[:5, ..., ::-1])).max() > 0.01


def test_sound_windows_are_their_own(network, monkeypatch):
    pcm = np.random.default_rng(2).integers(-8000, 8000, 640 * 12).astype(np.int16)
    monkeypatch.setattr(net, "CHUNK_SOUNDS", 3)
    rows, cepstra = network.hear(pcm), mfcc(pcm)
    assert len(cepstra) == 47 and rows.shape == (7, 1024)
    with torch.inference_mode():
        for f in range(7):
            window = torch.from_numpy(cepstra[4 * f : 4 * f + 20].T.copy())[None, None]
            single = network.netfcaud(network.netcnnaud(window).flatten(1))[0].numpy()
            assert np.abs(rows[f] - single).max() < 1e-4
    assert [len(network.hear(pcm[: 640 * 8 + extra])) for extra in (0, 80, 81)] == [3, 3, 4]
    assert len(network.hear(pcm[:0])) == 0 and len(network.hear(pcm[: 640 * 5])) == 0


def test_measure_counts_windows_as_published(network, crops):
    pcm = np.random.default_rng(2).integers(-8000, 8000, 640 * 11 + 600).astype(np.int16)
    found = network.measure(crops, pcm)
    assert found.distances.shape == (6, 31)
    assert network.measure(crops[:9], pcm).distances.shape == (4, 31)
    with pytest.raises(ValueError, match="6 frames"):
        network.measure(crops[:5], pcm)
    with pytest.raises(ValueError, match=r"\[224, 224, 3\]"):
        network.see(crops[:, :200])
    with pytest.raises(TypeError, match="uint8"):
        network.see(crops.astype(np.float32))


def unit_rows(count: int) -> np.ndarray:
    rows = np.random.default_rng(5).normal(size=(count, 1024)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("lag", range(-14, 15))
def test_offset_is_the_lag_of_the_picture(lag):
    rows = unit_rows(200)
    found = net.synchrony(rows[40 - lag : 140 - lag], rows[40:140])
    assert found.offset_frames == lag and not found.is_at_limit
    assert found.min_distance < 0.25 and found.confidence > 0.9


def test_a_lag_beyond_the_search_has_no_confidence():
    rows = unit_rows(300)
    found = net.synchrony(rows[100:200], rows[130:230])
    near = net.synchrony(rows[100:200], rows[105:205])
    assert found.confidence < 0.25 * near.confidence


def test_definition():
    random = np.random.default_rng(8)
    seen, heard = random.normal(size=(2, 9, 4)).astype(np.float32)
    found = net.synchrony(seen, heard, 2)
    for i in range(9):
        for j in range(5):
            k = i + j - 2
            other = heard[k] if 0 <= k < 9 else np.zeros(4)
            assert found.distances[i, j] == pytest.approx(
                np.linalg.norm(seen[i] - other + 1e-6), abs=1e-5
            )
    means = found.distances.mean(0)
    assert found.min_distance == pytest.approx(means.min())
    assert found.offset_frames == 2 - int(means.argmin())
    assert found.confidence == pytest.approx(np.median(means) - means.min(), abs=1e-6)
    own = np.median(means) - found.distances[:, means.argmin()]
    padded = np.pad(own, 4)
    expected = [np.median(padded[i : i + 9]) for i in range(9)]
    assert np.allclose(found.frame_confidence(), expected, atol=1e-6)
    with pytest.raises(ValueError, match="unlike"):
        net.synchrony(seen, heard[:8])
    with pytest.raises(ValueError, match="one frame"):
        net.synchrony(seen, heard, 0)
