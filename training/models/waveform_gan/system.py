"""The waveform GAN in training: its rounds, and how a clip that was held out is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor, nn

from evaluation.metrics.errors import NoScore
from evaluation.metrics.intelligibility import stoi
from evaluation.metrics.mcd import mcd
from training.data.loader import Batch
from training.harness.chance import uniform
from training.harness.data import Parts
from training.harness.look import tensor, varied
from training.harness.system import Criterion, Facts, Round, System
from training.losses.across import mean_of
from training.losses.stft import multi_resolution_stft
from training.models.waveform_gan.config import GanConfig
from training.models.waveform_gan.examples import GanDecode
from training.models.waveform_gan.network import Critic, Generator, cut
from training.models.waveform_gan.objective import (
    critic_terms,
    deviation,
    distance,
    total_variation,
    weighted,
)
from training.models.waveform_gan.published import by_name
from training.models.waveform_gan.speech_encoder import (
    Hearing,
    SpeechEncoder,
    SpeechSizes,
    resampled,
)

FULL_SCALE = 32768.0
SCORE_RATE = 16_000


def facts_of(parts: Parts, config: GanConfig) -> Facts:
    """Which speech encoder compares the sounds."""
    if config.speech.source == "published":
        return {"speech_encoder": config.speech.name}
    return {"speech_encoder": f"own, {config.speech.steps} steps on the training part"}


def decode_of(parts: Parts, config: GanConfig, facts: Facts) -> GanDecode:
    """What the loader makes of a sample."""
    return GanDecode(config.view.view(config.shape), config.view)


class GanSystem(System):
    """Legend as in `network.py`. The first steps train the speech encoder, if it is ours."""

    network: Generator

    def __init__(self, config: GanConfig, facts: Facts) -> None:
        """Raises ModelFileError or ValueError where the published speech encoder is asked for and
        cannot be had."""
        super().__init__(config, facts)
        shape, speech = config.shape, config.speech
        self.config = config
        self.network = Generator(shape)
        self.critic = Critic(shape, shape.sample_rate)
        self.hearing: Hearing | None = None
        self.published: SpeechEncoder | None = None
        if speech.source == "published":
            self.published = by_name(speech.name).requires_grad_(False)
        else:
            sizes = SpeechSizes.ours(shape.sample_rate, speech.width)
            self.hearing = Hearing(sizes, speech.width)
        self.criterion = Criterion("mcd", False)

    def players(self) -> dict[str, nn.Module]:
        own = {} if self.hearing is None else {"hearing": self.hearing}
        return {**own, "critic": self.critic, "network": self.network}

    @property
    def is_learning_to_hear(self) -> bool:
        """Whether the speech encoder is what this step trains."""
        return self.hearing is not None and self.step < self.config.speech.steps

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        """Six of the critic, each on other seconds of the same clips (inferred: the paper draws
        them anew, and new clips for each would cost six times the decoding), then the generator."""
        pictures, real = varied(batch), self._sound(batch)
        if self.is_learning_to_hear:
            yield self._hearing_round(real, pictures)
            return
        made = self.network(pictures)
        positions = tensor(batch["position"])
        for update in range(self.config.critic_updates):
            yield self._critic_round(real, made.detach(), positions, update)
        with self.held(self.critic):
            terms = weighted(self._generator_terms(real, made, positions), self.config.loss)
            yield Round("network", torch.stack(list(terms.values())).sum(), terms)

    def _hearing_round(self, real: Tensor, pictures: Tensor) -> Round:
        assert self.hearing is not None
        if self.recipe.freeze_batch_norm:
            self.hearing.encoder.hold_statistics()
        else:
            self.hearing.train()
        drawn, wanted = self.hearing(real, pictures)
        loss = distance(drawn, wanted)
        return Round("hearing", loss, {"mouth_l1": loss})

    def _critic_round(self, real: Tensor, made: Tensor, positions: Tensor, update: int) -> Round:
        seed = self.recipe.seed
        one, other = self._seconds(real, made, positions, f"critic {update}")
        between = uniform(seed, f"between {update}", positions)
        gap, penalty = critic_terms(self.critic, one, other, between)
        fine = self.config.loss.penalty * penalty
        return Round("critic", fine - gap, {"distance": gap, "penalty": fine})

    def _generator_terms(self, real: Tensor, made: Tensor, positions: Tensor) -> dict[str, Tensor]:
        weights = self.config.loss
        terms = {"l1": distance(real, made), "tv": total_variation(made)}
        if weights.adversarial:
            _, second = self._seconds(real, made, positions, "generator")
            terms["adversarial"] = -mean_of(self.critic(second))
        if weights.perceptual:
            terms["perceptual"] = self._perceptual(real, made)
        if weights.spectral:
            found = multi_resolution_stft(real, made.float())
            terms["spectral"] = found.convergence + found.log_magnitude
        return terms

    def _perceptual(self, real: Tensor, made: Tensor) -> Tensor:
        encoder = self.speech_encoder
        encoder.hold_statistics()
        rates = self.config.shape.sample_rate, encoder.sizes.rate
        with self.held(encoder):
            with torch.no_grad():
                wanted = encoder(resampled(real, *rates))
            found = distance(wanted, encoder(resampled(made, *rates)))
        return found if self.hearing is None else found / deviation(wanted)

    @property
    def speech_encoder(self) -> SpeechEncoder:
        """phi."""
        if self.hearing is not None:
            return self.hearing.encoder
        assert self.published is not None
        return self.published

    def _seconds(
        self, real: Tensor, made: Tensor, positions: Tensor, purpose: str
    ) -> tuple[Tensor, Tensor]:
        """A second of each sound, the same of both unless `paired_crop` is off."""
        size = self.config.shape.sample_rate
        found = []
        for name, sound in (("real", real), ("made", made)):
            of = purpose if self.config.paired_crop else f"{purpose} {name}"
            chance = uniform(self.recipe.seed, of, positions)
            starts = (chance.double() * (sound.shape[1] - size + 1)).long()
            found.append(cut(sound, starts, size))
        return found[0], found[1]

    def _sound(self, batch: Batch) -> Tensor:
        """float32 [B, S] in +-1, at the model's rate."""
        if "wide" in batch:
            return tensor(batch["wide"]).float()
        return tensor(batch["waveform"]).float() / FULL_SCALE

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip MCD, by which the paper stops (2.4), STOI and L1; of a generator that is
        not trained yet, nothing."""
        made = self._made(network, batch)
        if self.is_learning_to_hear:
            return [{} for _ in made]
        real = tensor(batch["waveform"]).cpu().numpy() / FULL_SCALE
        rows = []
        for wanted, found in zip(real, made, strict=True):
            row = {"l1": float(np.abs(wanted - found).mean())}
            for name, score in (("mcd", mcd), ("stoi", stoi)):
                try:
                    row[name] = score(wanted, found)
                except NoScore:
                    continue
            rows.append(row)
        return rows

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """Both sounds of the first clip."""
        truth = tensor(batch["waveform"])[0].cpu().numpy() / FULL_SCALE
        return {"sound": self._made(network, batch)[0], "truth": truth.astype(np.float32)}

    def _made(self, network: nn.Module, batch: Batch) -> Sequence[np.ndarray]:
        """float32 [640 T] at 16 kHz, in which scores are taken."""
        made = network(tensor(batch["video"])).float().cpu().numpy()
        return [at_score_rate(row, self.config.shape.sample_rate) for row in made]


def at_score_rate(sound: np.ndarray, rate: int) -> np.ndarray:
    """[S] at the model's rate -> float32 [S'] at 16 kHz."""
    if rate == SCORE_RATE:
        return sound
    step = np.gcd(rate, SCORE_RATE)
    return resample_poly(sound, SCORE_RATE // step, rate // step).astype(np.float32)
