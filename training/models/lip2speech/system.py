"""Lip2Speech in training: its speaker identity module first, then all else with that frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.metrics.errors import NoScore, Silent
from evaluation.metrics.intelligibility import estoi, stoi
from training.data.loader import Batch
from training.data.sound_features import LOG_FLOOR, lip2speech_sound
from training.harness.checkpoints import CheckpointError, load_weights
from training.harness.data import Parts, speakers_of
from training.harness.look import tensor, varied
from training.harness.system import Criterion, Facts, Round, System
from training.models.lip2speech.config import Lip2SpeechConfig
from training.models.lip2speech.decoder import Decoded
from training.models.lip2speech.examples import FULL_SCALE, Lip2SpeechDecode, scale_of
from training.models.lip2speech.network import Lip2Speech
from training.models.lip2speech.objective import losses_of, taught_columns, taught_share, total
from training.models.speaker_identity.network import SpeakerIdentity
from training.models.speaker_identity.objective import Contrast
from training.models.speaker_identity.system import (
    begin,
    begun_with,
    drawing_loss,
    drawn_faces,
    identity_losses,
    identity_remarks,
    judged_rows,
    speaker_numbers,
)

SILENCE = float(np.log(LOG_FLOOR))
JUDGED_ITERATIONS = 30
"""Of Griffin-Lim, half of those that speak."""


def facts_of(parts: Parts, config: Lip2SpeechConfig) -> Facts:
    """Speakers, how many clips an epoch has, the mel's scale, and where the identity comes from.
    Raises CheckpointError for no training of it, or one of another shape."""
    known: Facts = {
        "speakers": sorted(set(speakers_of(parts.learnt).values())),
        "clips": sum(len(part) for part in parts.learnt),
        "mel": {"mean": [0.0] * 80, "deviation": [1.0] * 80}
        if config.shape.is_code
        else scale_of(parts.learnt),
    }
    if config.identity.run is None:
        begun = begun_with(config.shape.identity, config.identity.start)
        return {**known, **begun, "identity": f"own, {config.identity.steps} steps"}
    _, about = _identity_weights(config)
    told = f"{Path(config.identity.run).name}, {about.step} steps"
    return {**known, "face_weights": about.facts["face_weights"], "identity": told}


def _identity_weights(config: Lip2SpeechConfig) -> tuple[dict[str, Tensor], Any]:
    path = Path(str(config.identity.run))
    weights, about = load_weights(path)
    if about.model != "speaker_identity":
        raise CheckpointError(f"{path} is a model of {about.model}, not of speaker_identity")
    try:
        SpeakerIdentity(config.shape.identity).load_state_dict(weights)
    except RuntimeError:
        raise CheckpointError(
            f"{path} has another shape than shape.identity asks for; train both with one preset"
        ) from None
    return weights, about


def decode_of(parts: Parts, config: Lip2SpeechConfig, facts: Facts) -> Lip2SpeechDecode:
    """What the loader makes of a sample."""
    return Lip2SpeechDecode(
        config.view.view,
        config.view.lips(config.shape),
        config.view.face_view(config.shape),
        config.view,
        speaker_numbers(parts, facts["speakers"]),
        config.first_steps > 0,
    )


class Lip2SpeechSystem(System):
    """Legend as in `network.py`."""

    network: Lip2Speech
    mel_mean: Tensor
    mel_deviation: Tensor

    def __init__(self, config: Lip2SpeechConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = Lip2Speech(config.shape)
        if config.identity.run is not None:
            self.network.identity.load_state_dict(_identity_weights(config)[0])
        else:
            begin(self.network.identity, config.identity.start, facts)
        self.contrast = Contrast()
        self.criterion = Criterion("estoi", True)
        for name in ("mean", "deviation"):
            values = torch.tensor(facts["mel"][name], dtype=torch.float32)
            self.register_buffer(f"mel_{name}", values, persistent=False)
        self.has_told = False

    def players(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {}
        if self.config.first_steps:
            identity = self.network.identity
            found["identity"] = nn.ModuleList([*identity.learning, self.contrast])
            if identity.face_decoder is not None:
                found["face_decoder"] = identity.face_decoder
        return {**found, "network": self.network.learning}

    @property
    def is_learning_faces(self) -> bool:
        """Whether the speaker identity module is what this step trains."""
        return self.step < self.config.first_steps

    @property
    def epoch(self) -> int:
        """How often all clips were gone through by what follows the identity module."""
        done = (self.step - self.config.first_steps) * self.recipe.batch
        return max(0, done) // int(self.facts["clips"])

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        identity = self.network.identity
        identity.train(self.is_learning_faces and not self.recipe.freeze_batch_norm)
        if self.is_learning_faces:
            losses, faces = identity_losses(identity, self.contrast, batch)
            yield Round("identity", torch.stack(list(losses.values())).sum(), losses)
            if identity.face_decoder is not None:
                drawing = drawing_loss(identity, batch, faces)
                yield Round("face_decoder", drawing, {"drawing": drawing})
            return
        decoded, truth = self._taught(batch)
        counts = tensor(batch["sound_mask"])
        losses = losses_of(decoded, truth, counts, self.config.shape.is_code)
        yield Round("network", total(losses, self.config.loss), losses)

    def _taught(self, batch: Batch) -> tuple[Decoded, Tensor]:
        """What is decoded, and the truth [B, T, M] in the losses' scale."""
        truth, teacher = self._truth(batch), self.config.teacher
        share = taught_share(teacher.kind, self.epoch, teacher.epochs, teacher.fall)
        is_taught = taught_columns(
            teacher.kind, share, truth.shape[1], self.recipe.seed, self.parts_done
        )
        with torch.no_grad():
            voices = self.network.identity.embed(tensor(batch["face"]))
        decoded = self.network.taught(
            varied(batch),
            voices,
            tensor(batch["video_length"]),
            truth,
            is_taught,
            tensor(batch["sound_length"]),
        )
        return decoded, truth

    def _truth(self, batch: Batch) -> Tensor:
        """Behind a clip's end is silence."""
        mel = tensor(batch["sound"]).masked_fill(~tensor(batch["sound_mask"])[..., None], SILENCE)
        return (mel - self.mel_mean) / self.mel_deviation

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip, spoken without a teacher: ESTOI and STOI of the sound, the error of the
        columns that both have, and by how many the length is wrong. Until the speaker identity
        module is trained, its own figures."""
        assert isinstance(network, Lip2Speech)
        if self.is_learning_faces:
            return judged_rows(network.identity, self.contrast, batch)
        decoded, truth = self._free(network, batch), self._truth(batch)
        made = self._sounds(decoded, batch)
        rows = []
        for i, sound in enumerate(made):
            known, spoken = int(tensor(batch["sound_length"])[i]), int(decoded.lengths[i])
            both = min(known, spoken)
            error = (decoded.mel[i, :both] - truth[i, :both]).square().mean()
            row = {"mel": float(error), "length_error": float(abs(spoken - known))}
            wave = tensor(batch["waveform"])[i, : len(sound)].cpu().numpy() / FULL_SCALE
            for name, score in (("estoi", estoi), ("stoi", stoi)):
                try:
                    row[name] = score(wave, sound)
                except Silent:  # it stopped at once, or the clip is silence itself
                    if np.abs(wave).max() > 0:
                        row[name] = 0.0
                except NoScore:
                    continue
            rows.append(row)
        return rows

    def _free(self, network: Lip2Speech, batch: Batch) -> Decoded:
        voices = network.identity.embed(tensor(batch["face"]))
        return network.free(tensor(batch["video"]), voices, tensor(batch["video_length"]))

    def _sounds(self, decoded: Decoded, batch: Batch) -> list[np.ndarray]:
        """float32 [640 N] of each clip."""
        mel = (decoded.mel.float() * self.mel_deviation + self.mel_mean).cpu().numpy()
        frames, lengths = tensor(batch["video_length"]).tolist(), decoded.lengths.tolist()
        return [
            lip2speech_sound(mel[i, : lengths[i]], frames[i], JUDGED_ITERATIONS)
            for i in range(len(mel))
        ]

    def remarks(self, figures: Mapping[str, float]) -> Sequence[str]:
        """Once, what there is to know of the speaker identity module."""
        if self.has_told:
            return ()
        self.has_told = True
        told = identity_remarks(self.facts) if self.config.identity.run is None else []
        return [f"the speaker identity module: {self.facts['identity']}", *told]

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """The first clip: what is said above the truth, where attention lies, both sounds, and
        faces that are drawn of their embeddings."""
        assert isinstance(network, Lip2Speech)
        shown = drawn_faces(network.identity, batch)
        if self.is_learning_faces:
            return shown
        decoded, truth = self._free(network, batch), self._truth(batch)
        both = [x[0].float().cpu().numpy() for x in (decoded.mel[:, : decoded.lengths[0]], truth)]
        wave = tensor(batch["waveform"])[0].cpu().numpy() / FULL_SCALE
        return {
            **shown,
            "mel_above_the_truth": one_above_the_other(*both),
            "attention": grey(decoded.attention[0].float().cpu().numpy().T, 0.0, 1.0),
            "sound": self._sounds(decoded, batch)[0],
            "truth": wave.astype(np.float32),
        }


def grey(picture: np.ndarray, low: float, high: float) -> np.ndarray:
    """[H, W] -> uint8 [H, W, 3], the first row at the bottom."""
    scaled = np.clip((picture[::-1] - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, 2)


def one_above_the_other(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Columns [T, M] and [T', M] of one scale -> uint8 [2 M, longer, 3], low bands below."""
    low, high = float(below.min()), float(below.max()) + 1e-3
    longest = max(len(above), len(below))
    rows = [np.pad(x, ((0, longest - len(x)), (0, 0)), constant_values=low) for x in (above, below)]
    return np.concatenate([grey(x.T, low, high) for x in rows])
