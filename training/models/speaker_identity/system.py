"""The speaker identity module in training, and how it is trained as a part of Lip2Speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from manifests.weights.cache import ModelFileError
from training.data.loader import Batch
from training.harness.data import Parts, speakers_of
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.layers.voice_encoder import published, unit_voice
from training.losses.across import mean_of
from training.models.speaker_identity.config import FaceStart, IdentityConfig
from training.models.speaker_identity.examples import IdentityDecode
from training.models.speaker_identity.network import SpeakerIdentity, load_faces
from training.models.speaker_identity.objective import Contrast, likeness
from training.models.speaker_identity.shape import IdentityShape

SHOWN = 8


def facts_of(parts: Parts, config: IdentityConfig) -> Facts:
    """The speakers, and what the face encoder begins with."""
    speakers = sorted(set(speakers_of(parts.learnt).values()))
    return {"speakers": speakers, **begun_with(config.shape, config.start)}


def begun_with(shape: IdentityShape, start: FaceStart) -> Facts:
    """`face_weights`: a registered file, or null and why in `face_weights_reason`. Raises
    ValueError for a file that does not fit."""
    if start.pretrained is None:
        return {"face_weights": None, "face_weights_reason": "none were asked for"}
    try:
        load_faces(SpeakerIdentity(shape), start.pretrained)
    except ModelFileError:  # which names folders of this machine
        name = start.pretrained
        why = f"{name} cannot be had here (`yld models fetch {name}` says why)"
        return {"face_weights": None, "face_weights_reason": why}
    except KeyError:
        raise ValueError(
            f"there are no registered weights {start.pretrained}; `yld models list` has them"
        ) from None
    return {"face_weights": start.pretrained}


def begin(network: SpeakerIdentity, start: FaceStart, facts: Facts) -> None:
    """Load and freeze as the facts say. What begins at random is not frozen: it would stay so."""
    if facts["face_weights"] is not None:
        load_faces(network, facts["face_weights"])
        network.freeze(start.frozen)


def speaker_numbers(parts: Parts, names: Sequence[str]) -> dict[str, int]:
    """The number of each key's speaker; -1 for one that is not among `names`."""
    number = {name: i for i, name in enumerate(names)}
    keys = speakers_of((*parts.learnt, *parts.judging))
    return {key: number.get(name, -1) for key, name in keys.items()}


def decode_of(parts: Parts, config: IdentityConfig, facts: Facts) -> IdentityDecode:
    """What the loader makes of a sample."""
    speakers = speaker_numbers(parts, facts["speakers"])
    return IdentityDecode(config.view.view(config.shape), config.view, speakers)


def faces_of(batch: Batch, mirrored: bool) -> Tensor:
    """uint8 [B, H, W, 3], mirrored where the rows say so."""
    faces = tensor(batch["face"])
    if not mirrored:
        return faces
    return torch.where(tensor(batch["mirror"])[:, None, None, None], faces.flip(2), faces)


def identity_losses(
    network: SpeakerIdentity, contrast: Contrast, batch: Batch
) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of a step by name, and F [B, 256]."""
    faces = network(faces_of(batch, network.training))
    voices = voices_of(batch)
    losses = {
        "contrast": contrast(faces, voices, tensor(batch["speaker"])),
        "likeness": likeness(faces, voices),
    }
    return losses, faces


def voices_of(batch: Batch) -> Tensor:
    """GE2E's [B, 256] before ReLU and norm; no gradient."""
    mel = tensor(batch["voice"])
    with torch.no_grad():
        return published(mel.device)(mel, tensor(batch["voice_length"]))


def drawing_loss(network: SpeakerIdentity, batch: Batch, faces: Tensor) -> Tensor:
    """Mean squared error of the faces that are drawn of F [B, 256], which learns nothing of it
    (5.1: from saved embeddings)."""
    decoder = network.face_decoder
    assert decoder is not None
    drawn = decoder(unit_voice(faces.detach()))
    return mean_of((drawn - small_faces(batch, decoder.size_px, network.training)).square())


def small_faces(batch: Batch, size_px: int, mirrored: bool) -> Tensor:
    """[B, 3, size, size] in -1..1."""
    faces = faces_of(batch, mirrored).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.interpolate(faces, (size_px, size_px), mode="area")


def judged_rows(
    network: SpeakerIdentity, contrast: Contrast, batch: Batch
) -> list[dict[str, float]]:
    """Of each clip: the batch's criterion, the cosine of both embeddings, and whether its own voice
    is the nearest among those of other speakers in the batch (left out where there are none)."""
    losses, faces = identity_losses(network, contrast, batch)
    near = unit_voice(faces) @ unit_voice(voices_of(batch)).T
    names = tensor(batch["speaker"])
    others = names[:, None] != names
    total = float(sum(losses.values(), torch.zeros((), device=near.device)))
    rows = []
    for i in range(len(near)):
        row = {"criterion": total, "cosine": float(near[i, i])}
        if others[i].any():
            row["top1"] = float(near[i, i] > near[i][others[i]].max())
        rows.append(row)
    return rows


class IdentitySystem(System):
    """Two players: the face encoder with the criterion's temperature, and the face decoder."""

    network: SpeakerIdentity

    def __init__(self, config: IdentityConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = SpeakerIdentity(config.shape)
        begin(self.network, config.start, facts)
        self.contrast = Contrast()
        self.criterion = Criterion("criterion", False)
        self.has_told = False

    def players(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {
            "identity": nn.ModuleList([*self.network.learning, self.contrast])
        }
        if self.network.face_decoder is not None:
            found["face_decoder"] = self.network.face_decoder
        return found

    def rounds(self, batch: Batch) -> Iterator[Round]:
        losses, faces = identity_losses(self.network, self.contrast, batch)
        yield Round("identity", sum(losses.values(), torch.zeros(())), losses)
        if self.network.face_decoder is not None:
            drawing = drawing_loss(self.network, batch, faces)
            yield Round("face_decoder", drawing, {"drawing": drawing})

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        assert isinstance(network, SpeakerIdentity)
        return judged_rows(network, self.contrast, batch)

    def remarks(self, figures: Mapping[str, float]) -> Sequence[str]:
        """Once, where the face encoder began at random, or nobody is there to be told apart."""
        if self.has_told:
            return ()
        self.has_told = True
        return identity_remarks(self.facts)

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """Faces above those that are drawn of their embeddings."""
        assert isinstance(network, SpeakerIdentity)
        return drawn_faces(network, batch)


def identity_remarks(facts: Facts) -> list[str]:
    told = []
    if facts["face_weights"] is None:
        told.append(
            f"the face encoder began from scratch: {facts['face_weights_reason']}; all of it is "
            "trained"
        )
    if len(facts["speakers"]) < 2:
        told.append(
            "all clips are of one speaker, so that no voices can be told apart: train the speaker "
            "identity module on a corpus of many"
        )
    return told


def drawn_faces(network: SpeakerIdentity, batch: Batch) -> dict[str, Any]:
    """A strip of up to eight faces above those drawn of their embeddings, uint8 [2 H, 8 W, 3]."""
    decoder = network.face_decoder
    if decoder is None:
        return {}
    real = small_faces(batch, decoder.size_px, False)[:SHOWN]
    drawn = decoder(network.embed(tensor(batch["face"])[:SHOWN]))
    both = torch.cat([torch.cat(list(real), 2), torch.cat(list(drawn), 2)], 1)
    picture = ((both + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).float().cpu().numpy()
    return {"faces_above_drawn_ones": picture.astype(np.uint8)}
