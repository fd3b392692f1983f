"""Vid2Speech's published weights: how Keras keeps them, and that they say the same here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from manifests.weights.cache import REGISTRY, state_of
from tests.training.mouths import speaking
from tools.convert_vid2speech import convert
from training.harness.checkpoints import load_weights
from training.models.vid2speech.config import Vid2SpeechShape
from training.models.vid2speech.network import DENSE, EPSILON, SLOPE, STAGES, Vid2Speech
from training.models.vid2speech.published import NAME, Published, read

pytestmark = pytest.mark.usefixtures("one_thread")
h5py = pytest.importorskip("h5py", reason="Keras's files are read by h5py")
FRAMES, SIDE, WIDTH = 9, 32, 0.125


def layers_of(norms: str, random: np.random.Generator) -> list[list[np.ndarray]]:
    """Arrays as Keras 1 keeps them, [out, in, row, column] and [in, out]."""
    made, before, side = [], FRAMES, SIDE

    def norm(size: int) -> list[np.ndarray]:
        return [random.uniform(0.5, 1.5, size) for _ in range(4)]

    for channels, _ in STAGES:
        for wanted in channels:
            size = Vid2SpeechShape(WIDTH).scaled(wanted)
            kernel = random.normal(0, (9 * before) ** -0.5, (size, before, 3, 3))
            made += [[kernel, random.normal(0, 0.1, size)]]
            made += [norm(size if norms == "channels" else side)]
            before = size
        side //= 2
    dense = Vid2SpeechShape(WIDTH).scaled(DENSE)
    for inputs, outputs in ((before * side * side, dense), (dense, dense), (dense, 18)):
        made += [[random.normal(0, inputs**-0.5, (inputs, outputs)), random.normal(0, 1, outputs)]]
        made += [norm(outputs)] if outputs != 18 else []
    return [[array.astype(np.float32) for array in layer] for layer in made]


def said(layers: list[list[np.ndarray]], clip: np.ndarray, norms: str) -> np.ndarray:
    """What the code's network says of a clip [K, H, W], by loops and no torch: correlations that
    keep the size, batch norms of the last axis or of channels."""
    x, taken = clip.astype(np.float64), iter(layers)

    def normed(x: np.ndarray, gain, bias, mean, variance) -> np.ndarray:
        axis = 0 if x.ndim == 3 and norms == "channels" else -1
        around = [1] * x.ndim
        around[axis] = -1
        of = [v.reshape(around) for v in (gain, bias, mean, variance)]
        return (x - of[2]) / np.sqrt(of[3] + EPSILON) * of[0] + of[1]

    for number, (channels, _) in enumerate(STAGES):
        for i in range(len(channels)):
            kernel, bias = next(taken)
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            x = np.stack([correlate(padded, k, "valid")[0] for k in kernel]) + bias[:, None, None]
            x = normed(x, *next(taken))
            is_last = number == len(STAGES) - 1 and i == len(channels) - 1
            x = np.tanh(x) if is_last else np.where(x > 0, x, SLOPE * x)
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
    x = x.reshape(-1)
    for is_squashed in (True, False):
        weight, bias = next(taken)
        x = normed(x @ weight + bias, *next(taken))
        x = np.tanh(x) if is_squashed else x
    weight, bias = next(taken)
    return x @ weight + bias


def written(path: Path, layers: list[list[np.ndarray]], keras: int) -> Path:
    """As `save_weights` does; Keras 2 keeps kernels as [row, column, in, out]."""
    with h5py.File(path, "w") as file:
        names = []
        for number, arrays in enumerate(layers):
            name, inner = f"layer_{number}", [f"layer_{number}_{k}" for k in "Wbms"[: len(arrays)]]
            group = file.create_group(name)
            for key, array in zip(inner, arrays, strict=True):
                is_turned = keras == 2 and array.ndim == 4
                group.create_dataset(key, data=array.transpose(2, 3, 1, 0) if is_turned else array)
            group.attrs["weight_names"] = [key.encode() for key in inner]
            names += [name.encode(), f"activation_{number}".encode()]
            file.create_group(f"activation_{number}").attrs["weight_names"] = np.array([], "S1")
        file.attrs["layer_names"] = names
    return path


def heard(found: Published, clip: np.ndarray) -> np.ndarray:
    network = Vid2Speech(found.shape)
    network.load_state_dict(found.state)
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(clip)[None])[0].numpy()


@pytest.mark.parametrize(("norms", "keras"), [("channels", 1), ("columns", 1), ("columns", 2)])
def test_a_file_says_here_what_it_says_there(tmp_path, norms, keras):
    random = np.random.default_rng(0)
    layers = layers_of(norms, random)
    found = read(written(tmp_path / "weights.hdf5", layers, keras))
    assert found.shape == Vid2SpeechShape(WIDTH, SIDE, FRAMES, norms=norms)
    clip = random.uniform(-0.5, 0.5, (FRAMES, SIDE, SIDE)).astype(np.float32)
    np.testing.assert_allclose(heard(found, clip), said(layers, clip, norms), atol=2e-4)


def test_a_file_and_a_corpus_make_weights_that_speak(tmp_path):
    layers = layers_of("columns", np.random.default_rng(0))
    path = written(tmp_path / "weights.hdf5", layers, 1)
    corpus = speaking(tmp_path / "corpus", num_clips=3, num_frames=12)
    convert(path, str(corpus), tmp_path / "made")
    weights, about = load_weights(tmp_path / "made")
    assert about.model == "vid2speech" and len(about.facts["mean"]) == 18
    assert torch.equal(weights["dense.7.bias"], torch.from_numpy(layers[-1][1]))
    with pytest.raises(FileExistsError):
        convert(path, str(corpus), tmp_path / "made")


def test_what_is_no_such_file_is_refused_by_name(tmp_path):
    (tmp_path / "text.hdf5").write_text("no")
    with pytest.raises(ValueError, match=r"text.hdf5"):
        read(tmp_path / "text.hdf5")
    layers = layers_of("channels", np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"short.hdf5 has 20 layers with weights, not 23"):
        read(written(tmp_path / "short.hdf5", layers[:-3], 1))


def test_the_published_file_says_here_what_it_says_there():
    """Where it is: in the cache, or in YLD_MODEL_MIRROR."""
    where, path = state_of(REGISTRY[NAME])
    if where not in ("here", "mirror"):
        pytest.skip(f"{NAME} is {where}: YLD_MODEL_MIRROR names a folder that has it")
    found = read(Path(path))
    assert found.shape.context_frames == 9 and found.shape.picture_px == 128
    state = [value.numpy() for key, value in found.state.items() if "num_batches" not in key]
    layers, at = [], 0
    while at < len(state):
        count = 4 if state[at].ndim == 1 else 2
        arrays = state[at : at + count]
        layers.append([a.T if a.ndim == 2 else a for a in arrays])
        at += count
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, (9, 128, 128)).astype(np.float32)
    wanted = said(layers, clip, found.shape.norms)
    np.testing.assert_allclose(heard(found, clip), wanted, atol=1e-3)
