"""Pictures of Speech2Vid-like models: PSNR, SSIM and the distance of the lips' landmarks.

Frames are uint8 [T, H, W, 3] RGB, 25 a second. Lengths may differ by up to `MAX_GAP_FRAMES`.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import LengthMismatch, NoScore, TooShort

MAX_GAP_FRAMES = 2
MOUTH = slice(48, 68)
"""Outer and inner lips in the 68-point scheme of iBUG 300-W."""
PSNR_CEILING_DB = 100.0


def psnr(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, mean over frames, all three channels together.

    A frame without any error counts as 100 dB: infinity would hide every other frame of the
    clip. Raises NoScore.
    """
    reference, hypothesis = frame_pair(reference, hypothesis)
    values = []
    for one, other in zip(reference, hypothesis, strict=True):
        error = np.mean((one.astype(np.float64) - other) ** 2)
        values.append(min(PSNR_CEILING_DB, 10 * np.log10(255**2 / max(error, 1e-12))))
    return float(np.mean(values))


def ssim(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Structural similarity of the luma, mean over frames (Wang et al. 2004: Gaussian window
    of 1.5 px, K = 0.01 and 0.03), by scikit-image. Raises NoScore."""
    from skimage.metrics import structural_similarity

    reference, hypothesis = frame_pair(reference, hypothesis)
    if min(reference.shape[1:3]) < 11:
        raise TooShort("pictures smaller than the window of 11 px")
    return float(
        np.mean(
            [
                structural_similarity(
                    luma(one),
                    luma(other),
                    data_range=255,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
                for one, other in zip(reference, hypothesis, strict=True)
            ]
        )
    )


def luma(frame: np.ndarray) -> np.ndarray:
    """BT.601 luma of RGB, float64 [H, W], 0 to 255."""
    return frame @ np.array([0.299, 0.587, 0.114])


def lip_landmark_distance(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Mean distance of the 20 lip points in px, each set moved to its own centre first.

    Landmarks float [T, 68, 2], NaN where no face was found; frames where either is missing do
    not count. Only comparable at one picture size (the canonical face is 256 px), and after
    Chen et al. 2018 (LMD). Raises NoScore.
    """
    length = min(len(reference), len(hypothesis))
    _check_gap(len(reference), len(hypothesis))
    if any(np.isinf(points).any() for points in (reference, hypothesis)):
        raise ValueError("landmarks hold infinite values; NaN stands for no face")
    lips = [np.asarray(points[:length, MOUTH], np.float64) for points in (reference, hypothesis)]
    seen = ~np.isnan(lips[0]).any((1, 2)) & ~np.isnan(lips[1]).any((1, 2))
    if not seen.any():
        raise NoScore("no frame where a face was found in both")
    centred = [points[seen] - points[seen].mean(1, keepdims=True) for points in lips]
    return float(np.linalg.norm(centred[0] - centred[1], axis=2).mean())


def frame_pair(reference: np.ndarray, hypothesis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to the shorter. Raises LengthMismatch, TooShort, or ValueError for sizes."""
    if reference.shape[1:] != hypothesis.shape[1:]:
        raise ValueError(
            f"frames of {hypothesis.shape[1:]} against {reference.shape[1:]}; "
            "pictures are never rescaled for scoring"
        )
    _check_gap(len(reference), len(hypothesis))
    length = min(len(reference), len(hypothesis))
    if length == 0:
        raise TooShort("no frames")
    return reference[:length], hypothesis[:length]


def _check_gap(reference: int, hypothesis: int) -> None:
    if abs(reference - hypothesis) > MAX_GAP_FRAMES:
        raise LengthMismatch(
            f"{hypothesis} frames against {reference}; {MAX_GAP_FRAMES} may differ"
        )
