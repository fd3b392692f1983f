"""What makes pictures of a face that says what is heard: what `yld redub` calls."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from training.data.views import View


class Animator(Protocol):
    """A trained model, ready; `catalogue.Kind.animator` names its class, which is called with
    weights, config, facts and a device as `training.models.speech2vid.animate`."""

    @property
    def view(self) -> View:
        """Which pictures its stills are (`View.seen`)."""

    @property
    def num_stills(self) -> int:
        """How many it takes."""

    def animate(self, stills: np.ndarray, sound: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """Stills uint8 [s, h, w, 3], 16 kHz sound (int16, or float in +-1) [N], and moments [n] of
        the sound in seconds, of any number and order -> pictures uint8 [n, h', w', 3], each the
        middle one of the sound it was made of: the part of a still that `made` cuts out.

        Outside the sound is silence. Raises ValueError for another number of stills.
        """


class Sharpener(Protocol):
    """Makes pictures of faces sharper; `catalogue.Kind.sharpener` names its class."""

    def sharpen(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [n, h, w, 3] -> the same shape."""
