"""GE2E embeddings written a second time to check resemblyzer by: same weights, other code.

After Wan et al. 2018 and the settings that the published weights were trained with. Silence is
cut on webrtcvad's decisions, mels come from evaluation's own filters, and the three LSTM layers
run on ONNX Runtime. Needs `onnx` and `onnxruntime`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from manifests.spectra import mel_slaney, stft

RATE = 16000
LOUDNESS_DBFS = -30.0
VAD_SAMPLES, VAD_SMOOTH, VAD_SPREAD = 480, 8, 7
WINDOW, HOP, MELS = 400, 160, 40
PART_FRAMES, PARTS_PER_S, MIN_COVERAGE = 160, 1.3, 0.75
LAYERS, SIZE = 3, 256


def speech_of(sound: np.ndarray) -> np.ndarray:
    """Raised to -30 dBFS, never lowered, and without longer silences. Float [N] at 16 kHz."""
    import webrtcvad

    gain = LOUDNESS_DBFS - 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)))
    sound = sound * 10 ** (max(gain, 0.0) / 20)
    windows = sound[: len(sound) // VAD_SAMPLES * VAD_SAMPLES].reshape(-1, VAD_SAMPLES)
    vad = webrtcvad.Vad(3)
    voiced = [
        vad.is_speech(np.round(window * 32767).astype(np.int16).tobytes(), RATE)
        for window in windows
    ]
    padded = np.pad(np.array(voiced, float), ((VAD_SMOOTH - 1) // 2, VAD_SMOOTH // 2))
    kept = np.convolve(padded, np.ones(VAD_SMOOTH) / VAD_SMOOTH, "valid").round() > 0
    kept = np.convolve(kept, np.ones(VAD_SPREAD), "same") > 0.5
    return windows[kept].reshape(-1)


def mel(sound: np.ndarray) -> np.ndarray:
    """Mel power, float32 [1 + N / 160, 40], frames centred, zeros beyond the ends."""
    padded = np.pad(sound, WINDOW // 2)
    power = np.abs(stft(padded, WINDOW, HOP)) ** 2
    return (power @ mel_slaney(MELS, WINDOW).T).astype(np.float32)


def parts(speech: np.ndarray) -> np.ndarray:
    """Mel pieces of 1.6 s that overlap by half or so, float32 [K, 160, 40]; the last is filled
    with silence, or left out where under three quarters of it are sound."""
    step = round(RATE / PARTS_PER_S / HOP)
    num_frames = int(np.ceil((len(speech) + 1) / HOP))
    starts = list(range(0, max(1, num_frames - PART_FRAMES + step + 1), step))
    if len(starts) > 1 and len(speech) / HOP - starts[-1] < MIN_COVERAGE * PART_FRAMES:
        starts.pop()
    missing = (starts[-1] + PART_FRAMES) * HOP - len(speech)
    frames = mel(np.pad(speech, (0, max(0, missing))))
    return np.stack([frames[start : start + PART_FRAMES] for start in starts])


def embedder(weights: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from sound, float [N] at 16 kHz, to its embedding, float [256]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        _graph(weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def embed(sound: np.ndarray) -> np.ndarray:
        (raw,) = session.run(None, {"mels": parts(speech_of(sound)).transpose(1, 0, 2)})
        mean = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).mean(axis=0)
        return mean / np.linalg.norm(mean)

    return embed


def _graph(weights: Path):
    """The network as ONNX: [160, K, 40] -> [K, 256]. Gates go from i, f, g, o to i, o, f, g."""
    import torch
    from onnx import TensorProto, helper, numpy_helper

    state = {
        name: value.numpy()
        for name, value in torch.load(weights, map_location="cpu", weights_only=True)[
            "model_state"
        ].items()
    }
    order = np.r_[0:SIZE, 3 * SIZE : 4 * SIZE, SIZE : 3 * SIZE]
    constants, nodes, above = {"axis": np.array([1])}, [], "mels"
    for i in range(LAYERS):
        for kind, name in (("W", "weight_ih"), ("R", "weight_hh")):
            constants[f"{kind}{i}"] = state[f"lstm.{name}_l{i}"][order][None]
        constants[f"B{i}"] = np.concatenate(
            [state[f"lstm.bias_{side}_l{i}"][order] for side in ("ih", "hh")]
        )[None]
        nodes += [
            helper.make_node(
                "LSTM",
                [above, f"W{i}", f"R{i}", f"B{i}"],
                [f"all{i}", f"last{i}"],
                hidden_size=SIZE,
            ),
            helper.make_node("Squeeze", [f"all{i}", "axis"], [f"out{i}"]),
        ]
        above = f"out{i}"
    constants |= {"first": np.array([0]), "W": state["linear.weight"], "B": state["linear.bias"]}
    nodes += [
        helper.make_node("Squeeze", [f"last{LAYERS - 1}", "first"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "W", "B"], ["linear"], transB=1),
        helper.make_node("Relu", ["linear"], ["raw"]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "ge2e",
        [helper.make_tensor_value_info("mels", floats, [PART_FRAMES, None, MELS])],
        [helper.make_tensor_value_info("raw", floats, [None, SIZE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
