"""ViSQOL in speech mode, written a second time to check visqol-python by.

After Hines et al. 2015 and the constants and order of steps of google/visqol 3.3.3 (speech mode,
exponential map). Nothing of it is taken from visqol-python: filters are sections of poles and
zeros, the search is a running maximum over arrays. Slow, and for comparison only.

Legend: B bands, T frames of 20 ms, P frames a patch.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate
from scipy.signal import correlate as cross_correlate
from scipy.signal import hilbert, sosfilt, sosfreqz

from manifests.spectra import windows

RATE = 16000
WINDOW, HOP = 1280, 320
BANDS, LOWEST_HZ, HIGHEST_HZ = 21, 50.0, 8000.0
PATCH, SEARCH_PATCHES = 20, 60
FLOOR_DB, RANGE_DB = -45.0, 45.0
EAR_Q, MIN_BANDWIDTH = 9.26449, 24.7
SPEECH_RMS, SPEECH_FRAMES = 5000.0, 3
KERNEL = np.array(
    [
        [0.0113033910173052, 0.0838251475442633, 0.0113033910173052],
        [0.0838251475442633, 0.619485845753726, 0.0838251475442633],
        [0.0113033910173052, 0.0838251475442633, 0.0113033910173052],
    ]
)
C1, C3 = 0.01**2, 0.03**2 / 2


def visqol(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """MOS-LQO, 1 to 5, of two signals float [N] at 16 kHz. Raises ValueError without a patch."""
    hypothesis = aligned(reference, hypothesis)[0]
    hypothesis = hypothesis * np.sqrt(np.mean(reference**2) / np.mean(hypothesis**2))
    true, made = neurograms(reference, hypothesis)
    starts = patch_starts(reference, true.shape[1])
    patches = np.stack([true[:, s : s + PATCH] for s in starts])
    rows = []
    for patch, start, match in zip(
        patches, starts, best_matches(patches, starts, made), strict=True
    ):
        if match is None:
            rows.append(np.zeros(BANDS))
            continue
        coarse = nsim(patch, _window(made, match))
        cut = [
            s[HOP * at : HOP * (at + PATCH)] for s, at in ((reference, start), (hypothesis, match))
        ]
        fine = nsim(*neurograms(*truncated(*cut)))
        rows.append(fine if fine.mean() >= coarse.mean() else coarse)
    return mos(float(np.mean(rows)))


def mos(similarity: float, scaled: bool = True) -> float:
    """MOS-LQO of a mean similarity of up to 1, by the exponential map; under 0.15 it is 1."""
    value = -262.847869 + np.exp(0.0154302525 * (similarity + 361.063949))
    return 1.0 if similarity < 0.15 else float(np.clip(value * (1.245063 if scaled else 1), 1, 5))


def centres() -> np.ndarray:
    """Centre frequencies in Hz, equally spaced in equivalent rectangular bandwidths, float [B]."""
    bias = EAR_Q * MIN_BANDWIDTH
    steps = np.arange(BANDS, 0, -1) / BANDS
    return (HIGHEST_HZ + bias) * ((LOWEST_HZ + bias) / (HIGHEST_HZ + bias)) ** steps - bias


def spectrogram(signal: np.ndarray) -> np.ndarray:
    """RMS of each band's output over each Hann window of 80 ms, float64 [B, T]."""
    frames = windows(signal, WINDOW, HOP) * np.hanning(WINDOW)
    return np.stack(
        [np.sqrt(np.mean(sosfilt(gammatone(hz), frames, axis=1) ** 2, axis=1)) for hz in centres()]
    )


def gammatone(hz: float) -> np.ndarray:
    """Slaney's gammatone filter of order 4 as sections float64 [4, 6], gain 1 at its centre.

    Four equal pairs of poles and a real zero each. scipy.signal.gammatone multiplies them out,
    which costs a percent of the lowest band's level.
    """
    angle = 2 * np.pi * hz / RATE
    radius = np.exp(-2 * np.pi * 1.019 * (hz / EAR_Q + MIN_BANDWIDTH) / RATE)
    slopes = [sign * np.sqrt(3 + side * 2**1.5) for side in (1, -1) for sign in (1, -1)]
    sections = np.array(
        [
            [
                1,
                -radius * (np.cos(angle) + slope * np.sin(angle)),
                0,
                1,
                -2 * radius * np.cos(angle),
                radius**2,
            ]
            for slope in slopes
        ]
    )
    sections[0, :3] /= np.abs(sosfreqz(sections, worN=[angle])[1][0])
    return sections


def neurograms(reference: np.ndarray, hypothesis: np.ndarray) -> list[np.ndarray]:
    """Both as dB over their common floor, at most 45 dB below each frame's louder peak."""
    levels = []
    for signal in (reference, hypothesis):
        rms = spectrogram(signal)
        levels.append(
            np.maximum(10 * np.log10(np.where(rms == 0, np.finfo(float).eps, rms)), FLOOR_DB)
        )
    shared = min(level.shape[1] for level in levels)
    peaks = np.maximum(*(level[:, :shared].max(axis=0) for level in levels))
    for level in levels:
        level[:, :shared] = np.maximum(level[:, :shared], peaks - RANGE_DB)
    lowest = min(level.min() for level in levels)
    return [level - lowest for level in levels]


def nsim(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Neurogram similarity of patches float [..., B, P], mean over frames: float [..., B]."""
    kernel = KERNEL.reshape((1,) * (max(one.ndim, other.ndim) - 2) + (3, 3))
    one, other = np.broadcast_arrays(one, other)

    def smooth(values):
        return correlate(values, kernel, mode="nearest")

    mean, other_mean = smooth(one), smooth(other)
    variances = (smooth(one**2) - mean**2) * (smooth(other**2) - other_mean**2)
    luminance = (2 * mean * other_mean + C1) / (mean**2 + other_mean**2 + C1)
    covariance = smooth(one * other) - mean * other_mean
    structure = (covariance + C3) / (np.sqrt(np.maximum(variances, 0)) + C3)
    return (luminance * structure).mean(axis=-1)


def patch_starts(reference: np.ndarray, num_frames: int) -> list[int]:
    """First frames of the patches in which somebody speaks. Raises ValueError for none."""
    first = PATCH // 2 - 1
    count = (num_frames - first) // PATCH
    scaled = np.clip(reference / reference.max() * 32768, -32768, 32767).astype(np.int16)
    frames = scaled[first : first + count * PATCH * HOP].astype(float).reshape(-1, HOP)
    loud = np.sqrt(np.mean(frames**2, axis=1)) >= SPEECH_RMS
    loud = np.concatenate(
        [
            np.ones(SPEECH_FRAMES - 1, bool),
            np.lib.stride_tricks.sliding_window_view(loud, SPEECH_FRAMES).any(axis=1),
        ]
    )
    starts = [first + PATCH * i for i in range(count) if loud[PATCH * i : PATCH * (i + 1)].any()]
    if not starts:
        raise ValueError("no patch of speech")
    return starts


def best_matches(patches: np.ndarray, starts: list[int], made: np.ndarray) -> list[int | None]:
    """For each patch the frame of the hypothesis where its match begins, in increasing order,
    so that the sum of similarities is greatest; None for a patch that is better left out."""
    num_frames, reach = made.shape[1], SEARCH_PATCHES * PATCH
    candidates = np.stack([_window(made, at) for at in range(num_frames)])
    total, back = np.zeros((len(patches), num_frames)), []
    for i, (patch, start) in enumerate(zip(patches, starts, strict=True)):
        near = np.abs(np.arange(num_frames) - start) <= reach
        similarity = nsim(patch, candidates).mean(axis=-1)
        if i == 0:
            total[0], previous = np.where(near, similarity, 0), np.full(num_frames, -1)
        else:
            lower = max(0, starts[i - 1] - reach)
            best, at = _best_before(total[i - 1], lower)
            skip = total[i - 1] > similarity + best
            previous = np.where(skip, np.arange(num_frames), at)
            total[i] = np.where(near, np.where(skip, total[i - 1], similarity + best), 0)
        back.append(previous)
    lower = max(0, starts[-1] - reach)
    offset = lower + int(
        np.argmax(total[-1][lower : min(starts[-1] + reach + 1, num_frames - PATCH)])
    )
    found: list[int | None] = []
    for previous in reversed(back):
        found.append(None if previous[offset] == offset else offset)
        offset = int(previous[offset])
    return found[::-1]


def _best_before(scores: np.ndarray, lower: int) -> tuple[np.ndarray, np.ndarray]:
    """Greatest score strictly before each frame from `lower` on, and its (latest) frame."""
    best, at = np.full(len(scores), -np.inf), np.full(len(scores), -1)
    for frame in range(lower + 1, len(scores)):
        better = scores[frame - 1] >= best[frame - 1]
        best[frame] = scores[frame - 1] if better else best[frame - 1]
        at[frame] = frame - 1 if better else at[frame - 1]
    return best, at


def _window(made: np.ndarray, start: int) -> np.ndarray:
    part = made[:, start : start + PATCH]
    return np.pad(part, ((0, 0), (0, PATCH - part.shape[1])))


def aligned(reference: np.ndarray, hypothesis: np.ndarray) -> tuple[np.ndarray, int]:
    """The hypothesis moved by the lag, in samples, at which the envelopes agree best."""
    one, other = (np.abs(hilbert(s - s.mean())) + s.mean() for s in (reference, hypothesis))
    lag = int(np.argmax(cross_correlate(one, other, method="fft"))) - (len(other) - 1)
    if lag == 0 or abs(lag) > len(reference) / 2:
        return hypothesis, 0
    return (hypothesis[-lag:] if lag < 0 else np.pad(hypothesis, (lag, 0))), lag


def truncated(reference: np.ndarray, hypothesis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both over the span they share after `aligned`."""
    moved, lag = aligned(reference, hypothesis)
    start, end = max(lag, 0), min(len(reference), len(moved))
    return reference[start:end], moved[start:end]
