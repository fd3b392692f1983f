"""How sharp a picture is."""

from __future__ import annotations

import cv2
import numpy as np


def laplacian_variance(grey: np.ndarray) -> float:
    """Variance of the Laplacian of a grey picture uint8 [H, W] (Pech-Pacheco et al. 2000): more is
    sharper. It grows with contrast, and with a camera's noise, too."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
