"""Lip2Speech speaking: chunks of two seconds, joined as mels, one Griffin-Lim (4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.sound_features import LOG_FLOOR, lip2speech_columns, lip2speech_sound
from training.data.views import View
from training.harness.system import Facts
from training.models.lip2speech.config import Lip2SpeechConfig
from training.models.lip2speech.network import Lip2Speech

STEP_FRAMES = 2
"""Two frames are five columns: chunks that begin at even frames begin at a column."""
SILENCE = float(np.log(LOG_FLOOR))


class Lip2SpeechSpeaker:
    """A `training.harness.speaker.Speaker` and `VoiceOfFace`: its voice comes from the face of the
    first picture, so that it knows none by name."""

    voices: tuple[str, ...] = ()
    unnamed_voice = "the voice that it takes from the face"

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: Lip2SpeechConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.view: View = config.view.view
        self.face_view: View = config.view.face_view(config.shape)
        self._lips = config.view.lips(config.shape)
        self._frames = config.view.num_frames
        self._device = torch.device(device)
        self._scale = tuple(np.array(facts["mel"][name]) for name in ("mean", "deviation"))
        self._network = Lip2Speech(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says; nothing is drawn, so the seed changes nothing."""
        if speaker is not None:
            raise ValueError(f"the model knows no speaker {speaker}: its voice comes from the face")
        return lip2speech_sound(self.mel(pictures), len(pictures))

    @torch.inference_mode()
    def mel(self, pictures: np.ndarray) -> np.ndarray:
        """Canonical faces uint8 [N, 256, 256, 3] -> natural log of mel power, float32 [T, 80]."""
        voice = torch.from_numpy(self.voice_of_face(self.face_view.seen(pictures[:1])[0]))
        lips = self._lips.seen(pictures)
        made = np.full((lip2speech_columns(len(lips)), 80), SILENCE, np.float32)
        done = 0
        for start, end in chunks(len(lips), self._frames):
            first, behind = (frame * 5 // 2 for frame in (start, end))
            said = self._said(lips[start:end], voice)[: lip2speech_columns(end - start)]
            new = said[done - first :]  # what an earlier chunk said stays
            made[done : done + len(new)] = new
            made[done + len(new) :] = SILENCE  # the column between two chunks is the second's
            done = behind
        return made

    def _said(self, lips: np.ndarray, voice: Tensor) -> np.ndarray:
        """One chunk's columns until it stops, [T, 80]."""
        seen = torch.from_numpy(np.ascontiguousarray(lips))[None].to(self._device)
        length = torch.tensor([len(lips)], device=self._device)
        decoded = self._network.free(seen, voice[None].to(self._device), length)
        columns = decoded.mel[0, : int(decoded.lengths[0])].float().cpu().numpy()
        return columns * self._scale[1] + self._scale[0]

    @torch.inference_mode()
    def voice_of_face(self, face: np.ndarray) -> np.ndarray:
        """As `VoiceOfFace` says."""
        picture = torch.from_numpy(np.ascontiguousarray(face))[None].to(self._device)
        return self._network.identity.embed(picture)[0].float().cpu().numpy()


def chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Half-open spans of `size` frames, one after the other; the last, of what is left, begins
    earlier (at an even frame) so that it is not too short to be understood (inferred)."""
    size -= size % STEP_FRAMES
    start = 0
    while start + size < length:
        yield start, start + size
        start += size
    late = max(0, length - size)
    yield min(start, late + late % STEP_FRAMES), length
