"""SLTS in training: its rounds, its critics, and how a clip that was held out is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.metrics.alignment import align_mels
from evaluation.metrics.choice import aligned_stoi
from evaluation.metrics.errors import NoScore, Silent
from manifests.clock import SAMPLES_PER_FRAME
from training.data.loader import Batch
from training.harness.chance import normal, uniform
from training.harness.data import Parts, speakers_of
from training.harness.look import tensor, varied
from training.harness.ranks import count_everywhere, rank
from training.harness.system import Criterion, Facts, Round, System
from training.layers.discriminators import Discriminators
from training.losses.across import world_size
from training.losses.adversarial import discriminator_loss, generator_loss
from training.models.slts.config import SltsConfig
from training.models.slts.examples import SltsDecode, scale_of
from training.models.slts.network import (
    SEGMENT_COLUMNS,
    Heard,
    Slts,
    segment_starts,
    segments,
)
from training.models.slts.objective import mel_losses, sound_losses, total
from training.models.slts.synchronization import hard_correct, most_probable

FULL_SCALE = 32768.0
COLUMN_MS = 10


def facts_of(parts: Parts, config: SltsConfig) -> Facts:
    """Speakers and the mel's scale, of what is learnt from."""
    keys = speakers_of(parts.learnt)
    names = sorted(set(keys.values()))
    return {
        "speakers": names,
        "mel": scale_of(parts.learnt, config.view.view(config.shape)),
    }


def decode_of(parts: Parts, config: SltsConfig, facts: Facts) -> SltsDecode:
    """What the loader makes of a sample."""
    number = {name: i for i, name in enumerate(facts["speakers"])}
    keys = speakers_of((*parts.learnt, *parts.judging))
    speakers = {key: number.get(name, -1) for key, name in keys.items()}
    view = config.view.view(config.shape)
    return SltsDecode(view, config.view, config.recipe.seed, speakers)


class SltsSystem(System):
    """Legend as in `network.py`."""

    network: Slts
    mel_mean: Tensor
    mel_deviation: Tensor

    def __init__(self, config: SltsConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = Slts(config.shape, max(1, len(facts["speakers"])))
        self.critics = Discriminators(config.discriminator_width) if config.discriminators else None
        by_sound = config.by_frontend and config.vocoder_clips != 0
        self.criterion = Criterion("a_stoi", True) if by_sound else Criterion("aligned_loss", False)
        for name in ("mean", "deviation"):
            values = torch.tensor(facts["mel"][name], dtype=torch.float32)[:, None]
            self.register_buffer(f"mel_{name}", values, persistent=False)

    def players(self) -> dict[str, nn.Module]:
        """The critics are moved first, and by their own loss alone."""
        if self.critics is None:
            return {"network": self.network}
        return {"critics": self.critics, "network": self.network}

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        """Critics first where there are any (UnivNet's order, maum-ai/univnet)."""
        pictures, mel, lengths = self._inputs(batch)
        heard = self.network(pictures, mel, self._voices(batch), lengths)
        losses = mel_losses(heard, mel)
        sound = self._sound(batch, heard)
        if sound is not None:
            real, made = sound
            losses |= sound_losses(real, made)
            if self.critics is not None:
                judged = discriminator_loss(self.critics(real), self.critics(made.detach()))
                yield Round("critics", judged, {"critics": judged})
                with self.held(self.critics):
                    losses["adversarial"] = generator_loss(self.critics(made))
        yield Round("network", total(losses, self.config.loss), losses)

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures float32 [B, T, H, W(, 3)] in 0..255, M [B, M, L] in the losses' scale, and
        frames int [B]."""
        pictures = varied(batch) if self.training else tensor(batch["video"])
        lengths = tensor(batch["video_length"])
        mel = (tensor(batch["sound"]).transpose(1, 2) - self.mel_mean) / self.mel_deviation
        return pictures, mel * tensor(batch["sound_mask"])[:, None], lengths

    def _voices(self, batch: Batch) -> Tensor:
        return tensor(batch["speaker"]).clamp_min(0)

    def _sound(self, batch: Batch, heard: Heard) -> tuple[Tensor, Tensor] | None:
        """.6 s of sound and what is made of the same columns, [B', S] each; None if no rank has a
        clip that is long enough."""
        most = self.config.vocoder_clips
        if most == 0:
            return None
        # The first of the whole batch, of which this rank has every `world_size`-th.
        row = rank() + world_size() * torch.arange(len(heard.mel), device=heard.mel.device)
        positions = tensor(batch["position"])
        chance = uniform(self.recipe.seed, "segment", positions)
        starts = segment_starts(heard.hard_counts, chance)
        fits = (starts >= 0) & (row < (len(row) * world_size() if most is None else most))
        if not int(count_everywhere(fits.sum().float())):
            return None
        wave = tensor(batch["waveform"])[fits].float() / FULL_SCALE
        mel, real = segments(heard.hard[fits], wave, starts[fits])
        channels = self.network.vocoder.noise_channels
        noise = normal(self.recipe.seed, "noise", positions[fits], (channels, SEGMENT_COLUMNS))
        return real, self.network.speak(mel, noise.to(mel))

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip: `aligned_loss`, the mean squared error once the mel is moved by what the
        alignment frontend finds (which needs no DSM, so that it is fair to `w/o ASM`), that
        `frontend_ms`, DSM's `offset_ms`, the plant, and a-STOI of the sound."""
        assert isinstance(network, Slts)
        pictures, mel, lengths = self._inputs(batch)
        features = network.encode(pictures, _mask(lengths, pictures))
        guess = network.decode(features, self._voices(batch), _mask(lengths, pictures))
        offsets = self._offsets(network, pictures, mel, lengths)
        plain = self._unscaled(guess), self._unscaled(mel)
        rows: list[dict[str, float]] = []
        for i, frames in enumerate(lengths.tolist()):
            columns = 4 * frames
            found = align_mels(
                plain[1][i, :, :columns].T.cpu().numpy(), plain[0][i, :, :columns].T.cpu().numpy()
            )
            late = torch.tensor([found.offset_ms // COLUMN_MS], device=mel.device)
            moved, counts = hard_correct(guess[i : i + 1, :, :columns], late)
            error = (moved - mel[i : i + 1, :, :columns]).square().mean(1)[counts].mean()
            row = {
                "aligned_loss": float(error),
                "frontend_ms": float(found.offset_ms),
                "planted_ms": float(COLUMN_MS * int(tensor(batch["planted_columns"])[i])),
            }
            if offsets is not None:
                row["offset_ms"] = float(COLUMN_MS * offsets[i])
            rows.append(row)
        if self.criterion.name == "a_stoi":
            for row, value in zip(rows, self._stoi(network, batch, guess), strict=True):
                if value is not None:
                    row["a_stoi"] = value
        return rows

    def figures(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means of loss and a-STOI; of DSM's offsets how well they agree with the frontend's:
        R2 as in table 2, and the share within 40 ms."""
        told = {
            name: float(np.mean([row[name] for row in rows if name in row]))
            for name in ("aligned_loss", "a_stoi")
            if any(name in row for row in rows)
        }
        pairs = np.array([(r["offset_ms"], r["frontend_ms"]) for r in rows if "offset_ms" in r])
        if len(pairs):
            told["within_40_ms"] = float((np.abs(pairs[:, 0] - pairs[:, 1]) <= 40).mean())
            if (r2 := determination(pairs[:, 1], pairs[:, 0])) is not None:
                told["offset_r2"] = r2
        return told

    def _offsets(
        self, network: Slts, pictures: Tensor, mel: Tensor, lengths: Tensor
    ) -> list[int] | None:
        if network.dsm is None:
            return None
        return most_probable(network.measure(pictures, mel, lengths)).tolist()

    def _stoi(self, network: Slts, batch: Batch, guess: Tensor) -> Sequence[float | None]:
        positions, lengths = tensor(batch["position"]), tensor(batch["video_length"])
        channels = network.vocoder.noise_channels
        noise = normal(self.recipe.seed, "noise", positions, (channels, guess.shape[2]))
        made = network.speak(guess, noise.to(guess)).float().cpu().numpy()
        real = tensor(batch["waveform"]).cpu().numpy() / FULL_SCALE
        return [
            _aligned_stoi(real[i, : SAMPLES_PER_FRAME * n], made[i, : SAMPLES_PER_FRAME * n])
            for i, n in enumerate(lengths.tolist())
        ]

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """The first clip: both spectrograms, one above the other, and both sounds."""
        assert isinstance(network, Slts)
        pictures, mel, lengths = self._inputs(batch)
        mask = _mask(lengths, pictures)
        guess = network.decode(network.encode(pictures, mask), self._voices(batch), mask)
        columns = 4 * int(lengths[0])
        shown: dict[str, Any] = {
            "mel_above_the_truth": picture_of(
                torch.cat([guess[0, :, :columns], mel[0, :, :columns]]).float().cpu().numpy()
            )
        }
        if self.config.vocoder_clips != 0:
            shown["sound"] = network.speak(guess[:1, :, :columns])[0].float().cpu().numpy()
            truth = tensor(batch["waveform"])[0].cpu().numpy() / FULL_SCALE
            shown["truth"] = truth[: 160 * columns].astype(np.float32)
        return shown

    def _unscaled(self, mel: Tensor) -> Tensor:
        return mel.float() * self.mel_deviation + self.mel_mean


def picture_of(mel: np.ndarray) -> np.ndarray:
    """[M, L] of mean 0 and deviation 1 -> uint8 [M, L, 3], low bands at the bottom of each half."""
    half = len(mel) // 2
    upright = np.concatenate([mel[:half][::-1], mel[half:][::-1]])
    grey = np.clip((upright + 2.5) / 5 * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def determination(truth: np.ndarray, guess: np.ndarray) -> float | None:
    """R2 of two float [N]; None where the truth does not vary."""
    spread = np.square(truth - truth.mean()).sum()
    return None if spread == 0 else float(1 - np.square(truth - guess).sum() / spread)


def _aligned_stoi(real: np.ndarray, made: np.ndarray) -> float | None:
    """A silent guess scores 0; None where the reference has too little to tell."""
    try:
        return aligned_stoi(real, made)
    except Silent:
        return 0.0 if np.abs(real).max() > 0 else None
    except NoScore:
        return None


def _mask(lengths: Tensor, pictures: Tensor) -> Tensor:
    return torch.arange(pictures.shape[1], device=lengths.device) < lengths[:, None]
