"""Opinions without a reference: the networks' own sizes, inputs and names, on small files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from manifests.weights.download import DownloadError
from manifests.weights.registry import REGISTRY
from stages.backends import dnsmos, utmos
from stages.base import SetupError
from stages.clips.opinions import JUDGES, Opinions, OpinionsConfig
from stages.networks.onnx_file import Graph
from stages.networks.utmos import UtmosNetwork, UtmosShape, _Attention, _Places

TINY = UtmosShape(8, 16, 2, 24, 2, 6, 4, 3, 3, 8, 12)


def stand_in(tmp_path, monkeypatch, name: str, content: bytes) -> None:
    """A file of the registry whose bytes are known to be others."""
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path))
    told = dataclasses.replace(
        REGISTRY[name], size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(REGISTRY, name, told)
    (tmp_path / name).write_bytes(content)


def made_networks(tmp_path, monkeypatch) -> None:
    """P.835 gives three times the mean square of what it hears, P.808 the mean of its mels."""
    graph = Graph()
    squared = graph.add("Mul", "input_1", "input_1")
    mean = graph.add("ReduceMean", squared, axes=[1], keepdims=1)
    three = graph.add("Concat", mean, mean, mean, axis=1)
    p835 = graph.model({"input_1": (1, dnsmos.HEARD)}, [three])
    graph = Graph()
    mels = graph.add("ReduceMean", "input_1", axes=[1, 2], keepdims=0)
    p808 = graph.model({"input_1": (1, 900, 120)}, [mels])
    for name, content in zip(dnsmos.Dnsmos.weights_names, (p835, p808), strict=True):
        stand_in(tmp_path, monkeypatch, name, content)


def test_dnsmos_hears_windows_of_9_s_a_second_apart(tmp_path, monkeypatch):
    made_networks(tmp_path, monkeypatch)
    judge = dnsmos.Dnsmos()
    judge.setup()
    short = np.full(32_000, 16384, np.int16)  # repeated, it is as loud
    told = judge.opinion(short)
    for column, (square, line, constant) in dnsmos.POLYNOMIALS.items():
        expected = square / 16 + line / 4 + constant
        assert told[column] == pytest.approx(expected, abs=2e-3)
    assert -1 <= told["dnsmos_p808"] <= 1
    assert judge.opinion(np.zeros(0, np.int16)) == dict.fromkeys(dnsmos.COLUMNS)
    # Loud in its first second alone: of the two windows one holds it.
    later = np.zeros(dnsmos.HEARD + 16_000, np.int16)
    later[:16_000] = 16384
    rows = [
        np.polyval(dnsmos.POLYNOMIALS["dnsmos_ovr"], x) for x in (0.25 * 16_000 / dnsmos.HEARD, 0.0)
    ]
    assert judge.opinion(later)["dnsmos_ovr"] == pytest.approx(np.mean(rows), abs=2e-3)


def test_dnsmos_mels_are_those_of_its_makers():
    """Figures of librosa 0.11: `melspectrogram(sr=16000, n_fft=321, hop_length=160, n_mels=120)`
    in dB under its maximum, plus 40, over 40, as the makers' script has it."""
    t = np.arange(4000)
    chirp = 0.1 * np.sin(t * (0.05 + t / 9000)) * (t < 3000) + 0.003 * np.sin(t * t * 0.37)
    levels = dnsmos.log_mel(chirp.astype(np.float32))
    assert levels.shape == (25, 120) and levels.max() == 1
    expected = {(0, 3): 0.8361, (5, 20): 0.3963, (9, 60): -0.2637, (14, 110): -0.5613}
    expected |= {(17, 40): -0.5054, (22, 90): -0.6483, (24, 0): -1.0}
    for place, value in expected.items():
        assert levels[place] == pytest.approx(value, abs=1e-4)


def test_the_released_dnsmos_where_it_is():
    folder = Path(os.environ.get("YLD_MODEL_DIR") or Path.home() / ".cache" / "yld" / "models")
    if not all((folder / name).is_file() for name in dnsmos.Dnsmos.weights_names):
        pytest.skip("DNSMOS is not in the cache; `yld models fetch dnsmos_p808.onnx` brings it")
    judge = dnsmos.Dnsmos()
    judge.setup()
    noise = (3000 * np.random.default_rng(0).normal(size=16_000)).astype(np.int16)
    assert judge.opinion(noise)["dnsmos_ovr"] < 2


def test_utmos_has_the_released_files_size_and_names():
    """102 772 865 float32 are 411 091 460 of its 411 179 119 bytes; the rest is names."""
    with torch.device("meta"):
        network = UtmosNetwork()
    assert sum(p.numel() for p in network.parameters()) == 102_772_865
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(state) == 225
    assert 0 < REGISTRY["utmos22_strong_step7459_v1.pt"].size - 4 * 102_772_865 < 225 * 1000
    for name, shape in {
        "wav2vec2.mask_emb": (768,),
        "wav2vec2.feature_extractor.conv_layers.0.2.weight": (512,),
        "wav2vec2.feature_extractor.conv_layers.6.0.weight": (512, 512, 2),
        "wav2vec2.encoder.pos_conv.0.weight_g": (1, 1, 128),
        "wav2vec2.encoder.layers.11.self_attn.out_proj.bias": (768,),
        "blstm.weight_ih_l0_reverse": (2048, 1024),
        "projection.2.weight": (1, 2048),
    }.items():
        assert state[name] == shape, name


def test_utmos_parts_are_what_torch_has_of_them():
    torch.manual_seed(0)
    features = torch.randn(2, 9, 16)
    mine, theirs = _Attention(16, 2), nn.MultiheadAttention(16, 2, batch_first=True)
    projections = (mine.q_proj, mine.k_proj, mine.v_proj)
    theirs.in_proj_weight.data = torch.cat([p.weight.data for p in projections])
    theirs.in_proj_bias.data = torch.cat([p.bias.data for p in projections])
    theirs.out_proj.load_state_dict(mine.out_proj.state_dict())
    torch.testing.assert_close(mine(features), theirs(features, features, features)[0])
    places = _Places(TINY)
    places.weight_g.data.uniform_(0.5, 2)
    convolution = nn.Conv1d(16, 16, 6, padding=3, groups=4)
    convolution.bias.data.zero_()
    normed = nn.utils.parametrizations.weight_norm(convolution, dim=2)
    normed.parametrizations.weight.original0.data = places.weight_g.data
    normed.parametrizations.weight.original1.data = places.weight_v.data
    expected = nn.functional.gelu(normed(features.transpose(1, 2))[:, :, :9]).transpose(1, 2)
    torch.testing.assert_close(places(features), expected)


def test_utmos_loads_a_file_of_its_names_and_scores_each_alike(tmp_path, monkeypatch):
    torch.manual_seed(1)
    network = UtmosNetwork(TINY)
    path = tmp_path / "made.pt"
    torch.save(network.state_dict(), path)
    stand_in(tmp_path, monkeypatch, utmos.Utmos.weights_names[0], path.read_bytes())
    monkeypatch.setattr("stages.networks.utmos.UtmosNetwork", lambda: UtmosNetwork(TINY))
    judge = utmos.Utmos()
    judge.setup()
    sound = (9000 * np.sin(np.arange(16_000) / 9)).astype(np.int16)
    told = judge.opinion(sound)
    wave = torch.from_numpy(sound.astype(np.float32) / 32768)
    assert told["utmos"] == pytest.approx(float(network.eval()(wave[None])[0].detach()), abs=1e-3)
    assert judge.opinion(sound[:1000]) == {"utmos": None}
    torch.save({"other": torch.zeros(1)}, path)
    stand_in(tmp_path, monkeypatch, utmos.Utmos.weights_names[0], path.read_bytes())
    with pytest.raises(SetupError, match="does not hold the weights"):
        utmos.Utmos().setup()


def test_a_model_that_is_not_to_be_had_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path))
    monkeypatch.setattr("manifests.weights.cache.download", refuse)
    with pytest.raises(SetupError, match="dnsmos_sig_bak_ovr"):
        Opinions.check_here(OpinionsConfig(["dnsmos"]))
    Opinions.check_here(OpinionsConfig())


def refuse(*_):
    raise DownloadError("no network in tests")


def test_other_weights_are_another_key():
    both = Opinions(OpinionsConfig(["dnsmos", "utmos"])).fingerprint()
    assert list(both) == list(JUDGES)
    assert both["utmos"][1] == REGISTRY[utmos.Utmos.weights_names[0]].sha256[:16]
