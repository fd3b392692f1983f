"""VCA-GAN in training: critics first, then the generator's side; judged by STOI as in the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.metrics.errors import NoScore
from evaluation.metrics.intelligibility import stoi
from training.data.loader import Batch
from training.data.sound_features import vca_gan_sound
from training.harness.chance import normal
from training.harness.data import Parts
from training.harness.look import tensor, varied
from training.harness.system import Criterion, Facts, Round, System
from training.models.vca_gan.config import VcaGanConfig
from training.models.vca_gan.discriminators import Critics
from training.models.vca_gan.examples import VcaGanDecode
from training.models.vca_gan.network import MEAN, MELS, ROWS, Mels, VcaGan
from training.models.vca_gan.objective import (
    contrast,
    gradient_penalty,
    out_of_step,
    reconstruction,
    scales_of,
    taken_in,
    told_apart,
)

FULL_SCALE = 32768.0


def facts_of(parts: Parts, config: VcaGanConfig) -> Facts:
    """Nothing: all scales are the code's constants."""
    return {}


def decode_of(parts: Parts, config: VcaGanConfig, facts: Facts) -> VcaGanDecode:
    """What the loader makes of a sample."""
    return VcaGanDecode(config.view.view(config.shape), config.view)


class VcaGanSystem(System):
    """Legend as in `network.py`."""

    network: VcaGan

    def __init__(self, config: VcaGanConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = VcaGan(config.shape)
        self.critics = Critics(config.shape)
        self.criterion = Criterion("stoi", True)

    def players(self) -> dict[str, nn.Module]:
        return {"critics": self.critics, "network": self.network}

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        """In the code the front hears of synchrony by the critics' round alone: there their loss
        goes back through the local features, whose gradient the front keeps until it is moved.
        Here that gradient is caught at the features and put into the generator's round."""
        if self.recipe.freeze_batch_norm:
            for module in self.critics.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        mel, linear = self._spectra(batch)
        local, context = self.network.front(self._pictures(batch))
        made = self.network.decoder(local, context, self._noise(self.network, batch))
        about = context.detach().mean(1)
        caught = local.detach().requires_grad_()
        yield self._critics_round(mel, made, about, caught)
        with self.held(self.critics):
            terms = self._generator_terms(mel, linear, made, local.detach(), about)
            loss = torch.stack(list(terms.values())).sum()
            if caught.grad is not None:  # of a loss that was divided by the parts of a step
                loss = loss + self.recipe.accumulate * (local * caught.grad).sum()
            yield Round("network", loss, terms)

    def _critics_round(self, mel: Tensor, made: Mels, about: Tensor, caught: Tensor) -> Round:
        weights = self.config.loss
        real = Mels(*(scale.detach().requires_grad_() for scale in scales_of(mel)))
        terms: dict[str, Tensor] = {}
        if weights.adversarial:
            of_real = self.critics(real, about)
            of_made = self.critics(Mels(*(scale.detach() for scale in made)), about)
            terms["critics"] = weights.adversarial * told_apart(of_real, of_made)
            if weights.penalty:
                terms["penalty"] = weights.penalty * gradient_penalty(of_real, real)
        if weights.sync:
            terms["contrast"] = weights.sync * contrast(caught, self.critics.sync(mel))
        loss = torch.stack(list(terms.values())).sum() if terms else _nothing(self.critics)
        return Round("critics", loss, terms)

    def _generator_terms(
        self, mel: Tensor, linear: Tensor, made: Mels, local: Tensor, about: Tensor
    ) -> dict[str, Tensor]:
        weights = self.config.loss
        guess = self.network.post_net(made.fine[:, 0])
        mels, magnitudes = reconstruction(made, scales_of(mel), guess, linear)
        terms = {
            "mel": weights.reconstruction * mels,
            "linear": weights.reconstruction * magnitudes,
        }
        if weights.adversarial:
            terms["adversarial"] = weights.adversarial * taken_in(self.critics(made, about))
        if weights.sync:
            terms["sync"] = weights.sync * out_of_step(local, self.critics.sync(made.fine))
        return terms

    def _pictures(self, batch: Batch) -> Tensor:
        """float32 [B, T, H, W] in 0..255, mirrored and with their squares."""
        seen = varied(batch)
        side = seen.shape[-1]
        steps = torch.arange(side, device=seen.device)
        inside = []
        for name in ("erase_x", "erase_y"):
            begin = tensor(batch[name])[:, None]
            inside.append((steps >= begin) & (steps < begin + side // 2))
        square = inside[1][:, None, :, None] & inside[0][:, None, None, :]
        return seen.masked_fill(square, 255 * MEAN)

    def _spectra(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mel [B, 1, 80, 4 T] in the network's units, magnitudes [B, 321, 4 T]."""
        sound = tensor(batch["sound"]).transpose(1, 2)
        return sound[:, None, :MELS], sound[:, MELS:]

    def _noise(self, network: VcaGan, batch: Batch) -> Tensor:
        positions, length = tensor(batch["position"]), tensor(batch["video"]).shape[1]
        return normal(self.recipe.seed, "noise", positions, (network.noise_channels, ROWS, length))

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip's window STOI of the post-net's sound, by which the code chooses, and the
        mel's L1 as a natural logarithm."""
        assert isinstance(network, VcaGan)
        mel, linear = self._spectra(batch)
        guess, mels = network(tensor(batch["video"]), self._noise(network, batch))
        real = tensor(batch["waveform"]).cpu().numpy() / FULL_SCALE
        rows = []
        for i, sound in enumerate(self._sounds(guess)):
            found, _ = reconstruction(
                [mels.fine[i : i + 1]], [mel[i : i + 1]], guess[i : i + 1], linear[i : i + 1]
            )
            row = {"mel_l1": float(found)}
            try:
                row["stoi"] = stoi(real[i], sound)
            except NoScore:
                row["stoi"] = 0.0
            rows.append(row)
        return rows

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """Both sounds of the first clip."""
        assert isinstance(network, VcaGan)
        guess, _ = network(tensor(batch["video"])[:1], self._noise(network, batch)[:1])
        truth = tensor(batch["waveform"])[0].cpu().numpy() / FULL_SCALE
        return {"sound": self._sounds(guess)[0], "truth": truth.astype(np.float32)}

    def _sounds(self, magnitudes: Tensor) -> Sequence[np.ndarray]:
        return [vca_gan_sound(row.T) for row in magnitudes.float().cpu().numpy()]


def _nothing(module: nn.Module) -> Tensor:
    """0, with a gradient that is none."""
    return 0.0 * next(module.parameters()).sum()
