"""The two-tower model speaking: each frame's mel, the post-net over all windows, their mean.

*Lin-synth* makes sound of the predicted linear spectrogram, *Mel-synth* of the training clips'
nearest frames (`exemplars.py`); Ephrat et al. 2017, sections 4.3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.griffin_lim import sound_of_magnitudes
from training.data.sound_features import ephrat_bank, ephrat_sound, ephrat_unscaled
from training.data.views import View
from training.harness.data import Selected
from training.harness.system import Facts
from training.layers.clips_by_eyes import clips_of
from training.layers.sequences import COLUMNS_PER_FRAME
from training.models.two_tower.config import TwoTowerConfig
from training.models.two_tower.exemplars import Exemplars, exemplars_of
from training.models.two_tower.network import TwoTower

PEAK = 0.95
"""Of the sound: how loud the clip was is not known (inferred)."""
CLIPS_AT_ONCE, WINDOWS_AT_ONCE = 64, 256
SIGMA_SHARE = 0.25
"""Of T: the Gaussian's deviation (inferred, section 5 gives none)."""


class TwoTowerSpeaker:
    """A `training.harness.speaker.FaceSpeaker`. Legend: N frames, T of a window."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: TwoTowerConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.voices = tuple(facts["speakers"])
        self._by_eyes = config.view.by_eyes(config.shape)
        self.view: View = self._by_eyes.source
        self._mean, self._frames = float(facts["pixel_mean"]), config.view.num_frames
        self._device = torch.device(device)
        self._network = TwoTower(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)
        self._exemplars: Exemplars | None = None

    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says, of pictures that are registered already. Raises ValueError for a
        model that registers each clip itself and needs to know where the eyes are."""
        if self._by_eyes.registration == "clip":
            raise ValueError("this model registers faces by their eyes: it needs landmarks")
        return self.speak_face(pictures, None, speaker, seed)

    def speak_face(
        self,
        pictures: np.ndarray,
        landmarks: np.ndarray | None,
        speaker: str | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """As `FaceSpeaker` says. A model is one voice (4); `speaker` chooses among exemplars."""
        if speaker is not None and speaker not in self.voices:
            raise ValueError(f"the model knows no speaker {speaker}")
        mel = self.mel(pictures, landmarks)
        if self._exemplars is not None:
            sound = sound_of_magnitudes(self._exemplars.nearest(mel, speaker))
        elif self._network.post_net is None:
            # Least squares, as of a mel spectrogram of magnitudes.
            guess = ephrat_unscaled(mel) @ np.linalg.pinv(ephrat_bank()).T
            sound = sound_of_magnitudes(np.maximum(guess, 0))
        else:
            sound = ephrat_sound(self.linear(mel))
        loudest = float(np.abs(sound).max())
        return sound if loudest == 0 else (sound * (PEAK / loudest)).astype(np.float32)

    def learn_from(self, parts: Sequence[Selected]) -> None:
        """Mel-synth from now on: every frame of these clips is an exemplar."""
        self._exemplars = exemplars_of(parts, self._by_eyes.pairing)

    @torch.inference_mode()
    def mel(self, pictures: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
        """float32 [4 N, M]. Beyond the ends the outermost frame is repeated."""
        made = self._by_eyes.of_faces(pictures, landmarks)
        shape, told = self._network.shape, []
        level, flow, back = (
            torch.from_numpy(x).to(self._device) for x in (made.level, made.flow, made.back)
        )
        for centres in torch.arange(len(level), device=self._device).split(CLIPS_AT_ONCE):
            clips, fields = clips_of(
                level, flow if shape.flow else None, back, centres, shape.context_frames
            )
            told.append(self._network.mel(clips / 255 - self._mean, fields).flatten(0, 1))
        return torch.cat(told).float().cpu().numpy()

    @torch.inference_mode()
    def linear(self, mel: np.ndarray) -> np.ndarray:
        """[4 N, M] -> [4 N, F]: the mean of all windows of T frames that see a frame, weighted by
        where in the window it lies."""
        columns = torch.from_numpy(mel).to(self._device)
        size = COLUMNS_PER_FRAME * min(self._frames, len(mel) // COLUMNS_PER_FRAME)
        windows = columns.unfold(0, size, COLUMNS_PER_FRAME).transpose(1, 2)
        guesses = [self._network.linear(part) for part in windows.split(WINDOWS_AT_ONCE)]
        return averaged(torch.cat(guesses).float().cpu().numpy(), COLUMNS_PER_FRAME)


def averaged(windows: np.ndarray, step: int) -> np.ndarray:
    """Windows [W, size, F], each `step` columns after the one before -> float32 [C, F], each column
    the Gaussian mean of all windows that see it; weights are equal within a step."""
    count, size, bins = windows.shape
    steps = size // step
    places = np.arange(steps) - (steps - 1) / 2
    weights = np.repeat(np.exp(-np.square(places) / (2 * (SIGMA_SHARE * steps) ** 2)), step)
    length = step * (count - 1) + size
    total, weight = np.zeros((length, bins)), np.zeros((length, 1))
    for i, window in enumerate(windows):
        part = slice(step * i, step * i + size)
        total[part] += weights[:, None] * window
        weight[part] += weights[:, None]
    return (total / weight).astype(np.float32)
