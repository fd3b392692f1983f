"""What sound and lips have in common, by linear maps: the first synchrony model.

Sound is 26 log-mel bands at 100 Hz with 120 ms to either side; lips are the 20 mouth points in
head-fixed coordinates (scale and rotation from eyes and nose), with two frames to either side.
Regularized canonical correlation analysis finds the directions in which the two agree; their
correlation at lags on a 10 ms grid is the score, the scheme of Niu & Mak's Eq. 1-2 with linear
maps for their networks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from manifests.clock import FRAME_RATE
from manifests.spectra import centred_power, mel_htk
from stages.networks.lag_curves import Peak, Reading, find_peak, pool

HOP, WINDOW, NUM_FFT, NUM_BANDS = 160, 400, 512, 26
MEL_LOW_HZ, MEL_HIGH_HZ = 60.0, 7600.0
CONTEXT = 12
LIP_CONTEXT = 2
SOUND_SIZE, LIP_SIZE = NUM_BANDS * (2 * CONTEXT + 1), 40 * (2 * LIP_CONTEXT + 1)
FRAMES_PER_S = int(FRAME_RATE)
WINDOW_FRAMES = 3 * FRAMES_PER_S
STEP_MS = 10.0
ANCHORS = tuple(range(27, 48))
MOUTH = tuple(range(48, 68))
WEIGHTS = Path(__file__).parent / "weights" / "lipsync_linear.safetensors"


@dataclass
class LinearModel:
    """`matrix` float32 [26 * 25, K] of sound, `components` [40 * 5, K] of lips, and `anchors`
    [21, 2], the mean face's nose and eyes."""

    matrix: np.ndarray
    components: np.ndarray
    anchors: np.ndarray
    bias_ms: float = 0.0
    """Lag measured on synchronous training speakers; it is taken away."""
    calibration: np.ndarray | None = None
    """Logistic (weight of the peak, weight of the margin, weight of ln seconds, offset)."""
    facts: dict | None = None
    """Where the weights come from: recipe, data; nothing in the file that ships."""

    def clip_curve(
        self,
        landmarks: np.ndarray,
        mouths: np.ndarray | None,
        pcm: np.ndarray,
        search_ms: float = 700.0,
    ) -> np.ndarray | None:
        """Correlation over lags of a whole clip, float32 [1, 2 S + 1], bias taken away: points
        [T, 68, 2], int16 [640 T]; pictures are not looked at.

        Clips longer than 3 s pool windows of 3 s, one a second. None for no frames.
        """
        lips, expected = seen(self, landmarks), predict(self, pcm)
        shift = round(self.bias_ms / STEP_MS)
        starts = range(0, max(1, len(lips) - WINDOW_FRAMES + 1), FRAMES_PER_S)
        curves = [
            correlation_curve(lips[s : s + WINDOW_FRAMES], expected, 4 * s - shift, search_ms)
            for s in starts
        ]
        pooled = pool(curves, [1.0] * len(curves))
        return None if pooled is None else pooled[None]

    def clip_reading(
        self, landmarks: np.ndarray, mouths: np.ndarray | None, pcm: np.ndarray
    ) -> Reading | None:
        """The same as `System` asks for it."""
        curve = self.clip_curve(landmarks, mouths, pcm)
        return None if curve is None else Reading(curve)

    def peak(self, curve: np.ndarray) -> Peak | None:
        """The lag of a (pooled) curve [1, L]; None for NaN alone."""
        return find_peak(curve[0], STEP_MS)

    def clip_peak(
        self,
        landmarks: np.ndarray,
        mouths: np.ndarray | None,
        pcm: np.ndarray,
        search_ms: float = 700.0,
    ) -> Peak | None:
        """The lag of a whole clip, as `clip_curve` takes it. None where nothing moves or sounds."""
        curve = self.clip_curve(landmarks, mouths, pcm, search_ms)
        return None if curve is None else self.peak(curve)

    def save(self, path: Path = WEIGHTS) -> None:
        """Write safetensors. Raises ValueError for an uncalibrated model."""
        from safetensors.numpy import save_file

        if self.calibration is None:
            raise ValueError("calibrate the model before it is saved")
        arrays = {
            "matrix": self.matrix,
            "components": self.components,
            "anchors": self.anchors,
            "lag_bias_ms": np.array([self.bias_ms]),
            "calibration": self.calibration,
        }
        # safetensors writes the memory as it lies: a transposed view would come back scrambled.
        save_file(
            {n: np.ascontiguousarray(a, np.float32) for n, a in arrays.items()},
            path,
            metadata={"facts": json.dumps(self.facts or {}, sort_keys=True)},
        )
        path.chmod(0o644)

    @staticmethod
    def load(path: Path = WEIGHTS) -> LinearModel:
        """Raises FileNotFoundError; KeyError for a file of another model."""
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            data = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
        return LinearModel(
            data["matrix"],
            data["components"],
            data["anchors"],
            float(data["lag_bias_ms"][0]),
            data["calibration"],
            facts,
        )


@cache
def _bank() -> np.ndarray:
    """HTK's triangles, float32 [26, 257]."""
    return mel_htk(NUM_BANDS, NUM_FFT, MEL_LOW_HZ, MEL_HIGH_HZ).astype(np.float32)


def log_mel(pcm: np.ndarray) -> np.ndarray:
    """int16 [N] at 16 kHz -> float32 [N // 160, 26] at 100 Hz; row i is centred on i * 10 ms.

    Normalised to zero mean and unit deviation per band, so that loudness does not matter.
    """
    count = len(pcm) // HOP
    if count == 0:
        return np.zeros((0, NUM_BANDS), np.float32)
    power = centred_power(pcm.astype(np.float32) / 32768, WINDOW, HOP, NUM_FFT)
    mel = np.log(power @ _bank().T + 1e-6)
    return (mel - mel.mean(0)) / (mel.std(0) + 0.1)


def audio_context(mel: np.ndarray) -> np.ndarray:
    """[N, 26] -> [N, 26 * 25]: each row with its neighbours."""
    padded = np.pad(mel, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1, axis=0)
    return windows.reshape(len(mel), -1)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity (Umeyama) from [P, 2] to [P, 2] without reflection: [2, 3]."""
    a, b = source - source.mean(0), target - target.mean(0)
    # In the plane the solution is one complex number.
    za, zb = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    factor = (np.conj(za) @ zb) / max(float((np.abs(za) ** 2).sum()), 1e-9)
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.concatenate([matrix, (target.mean(0) - matrix @ source.mean(0))[:, None]], 1)


def head_fixed_mouth(landmarks: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """[T, 68, 2] any pixels -> mouth points [T, 40], in the anchors' unit (eye distances).

    Scale and rotation are the run's median ones; only the shift is the frame's own: a
    landmark's jitter at the eyes must not look like a mouth that opens.
    """
    transforms = np.stack([similarity(p[list(ANCHORS)], anchors) for p in landmarks])
    linear = np.median(transforms[:, :, :2], axis=0)
    mouth = landmarks[:, list(MOUTH)]
    centre = landmarks[:, list(ANCHORS)].mean(1, keepdims=True)
    return ((mouth - centre) @ linear.T).reshape(len(landmarks), -1)


def detrend(values: np.ndarray, frames: int = 25) -> np.ndarray:
    """Subtract a moving mean of about a second from [T, K]: pose drifts slowly, lips do not."""
    from scipy.ndimage import uniform_filter1d

    return values - uniform_filter1d(values, frames, axis=0, mode="nearest")


def audio_features(pcm: np.ndarray) -> np.ndarray:
    """int16 [N] at 16 kHz -> float32 [N // 160, 650] at 100 Hz."""
    return detrend(audio_context(log_mel(pcm)), 100).astype(np.float32)


def lip_features(landmarks: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """[T, 68, 2] -> float32 [T, 200] at 25 fps: the mouth about its own centre, five frames."""
    mouth = head_fixed_mouth(landmarks, anchors).reshape(len(landmarks), 20, 2)
    mouth = detrend((mouth - mouth.mean(1, keepdims=True)).reshape(len(landmarks), -1))
    padded = np.pad(mouth, ((LIP_CONTEXT, LIP_CONTEXT), (0, 0)), mode="edge")
    parts = [padded[i : i + len(mouth)] for i in range(2 * LIP_CONTEXT + 1)]
    return np.concatenate(parts, 1).astype(np.float32)


def predict(model: LinearModel, pcm: np.ndarray) -> np.ndarray:
    """Sound in the common space, float32 [N // 160, K] at 100 Hz."""
    return audio_features(pcm) @ model.matrix


def seen(model: LinearModel, landmarks: np.ndarray) -> np.ndarray:
    """Lips in the common space, float32 [T, K] at 25 fps."""
    return lip_features(landmarks, model.anchors) @ model.components


def correlation_curve(
    lips: np.ndarray, expected: np.ndarray, start_index: int, search_ms: float
) -> np.ndarray:
    """Correlation at lags -search..+search in steps of 10 ms: float32 [2 * S + 1].

    `lips` [T, K] at 25 fps; `expected` [N, K] at 100 Hz, whose row `start_index` is the time of
    the first frame. Lag > 0: video late, so frame t matches the sound at t - lag. Only frames
    whose sound exists are compared; fewer than 80 % of them give NaN.
    """
    steps = round(search_ms / STEP_MS)
    times = start_index + 4 * np.arange(len(lips))
    curve = np.full(2 * steps + 1, np.nan, np.float32)
    for i, lag in enumerate(range(-steps, steps + 1)):
        rows = times - lag
        valid = (rows >= 0) & (rows < len(expected))
        if valid.mean() < 0.8:
            continue
        a, b = lips[valid], expected[rows[valid]]
        a, b = a - a.mean(0), b - b.mean(0)
        norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
        curve[i] = float((a * b).sum()) / norm if norm > 1e-9 else 0.0
    return curve
