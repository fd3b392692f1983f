"""SyncNet in training: its loss, and how a clip that was held out is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from manifests.crops import CROPS
from stages.networks.mfcc import COLUMNS_PER_FRAME
from stages.networks.syncnet import WINDOW_COLUMNS, SyncNet
from training.data.loader import Batch
from training.harness.chance import normal
from training.harness.data import Parts
from training.harness.look import tensor, varied
from training.harness.system import Criterion, Facts, Round, System
from training.layers.sequences import in_float32
from training.losses.across import mean_of
from training.models.syncnet.config import SyncNetConfig
from training.models.syncnet.examples import SyncNetDecode
from training.models.syncnet.objective import (
    LossScale,
    contrastive,
    contrastive_chance,
    cosines,
    distances,
    lag_frames,
    multiway,
    multiway_chance,
    top1,
)

AT_CHANCE = 0.98
"""A judged loss above so much of chance is told as having learnt nothing."""


def facts_of(parts: Parts, config: SyncNetConfig) -> Facts:
    """The released network takes pictures and cepstra as they are: there is nothing to know."""
    return {}


def decode_of(parts: Parts, config: SyncNetConfig, facts: Facts) -> SyncNetDecode:
    """What the loader makes of a sample."""
    judging = frozenset(part.key(n) for part in parts.judging for n in range(len(part)))
    return SyncNetDecode(config.view.view(config.shape), config, judging)


class SyncNetSystem(System):
    """Legend as in `objective.py`. What is kept is the network alone, under the released file's
    names; w and b belong to the training."""

    network: SyncNet

    def __init__(self, config: SyncNetConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        window = CROPS[config.view.crop]
        if window.height != window.width:
            raise ValueError(f"view.crop: {config.view.crop} is no square, which SyncNet needs")
        self.config = config
        self.network = SyncNet(config.shape.width, config.shape.picture_px)
        is_multiway = config.loss.kind == "multiway"
        self.scale = LossScale(config.loss.scale, config.loss.bias) if is_multiway else None
        self.criterion = Criterion("top1", True)

    def players(self) -> dict[str, nn.Module]:
        """One, of network and scale; made when it is asked for, or all would be saved twice."""
        if self.scale is None:
            return {"network": self.network}
        return {"network": nn.ModuleList([self.network, self.scale])}

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        """The loss, with what it is at chance beside it."""
        kind = self.config.loss.kind
        seen, heard = self._embed(self.network, batch)
        similarity = self._similarity(seen, heard)
        loss = mean_of(self._terms(similarity, tensor(batch["position"])))
        told = {
            kind: loss,
            "chance": loss.new_tensor(self._chance(similarity.shape[1])),
            "top1": mean_of(top1(similarity.detach())),
        }
        if self.scale is not None:
            told["scale"] = self.scale.scale
        yield Round("network", loss, told)

    def _embed(self, network: SyncNet, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors of the pictures [B, T, D], and of all windows of the sound [B, U, D]."""
        pictures = varied(batch) if network.training else tensor(batch["video"])
        # The released network takes BGR. Channels stay last in memory: twice as fast on CPUs.
        seen = network.embed_pictures(pictures.flip(4).permute(0, 4, 1, 2, 3).float())
        windows = tensor(batch["sound"]).unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME)
        return seen, network.embed_sounds(windows)

    def _similarity(self, seen: Tensor, heard: Tensor) -> Tensor:
        """[B, T, U], the higher the more alike: cosines, or distances negated."""
        with in_float32(seen):
            if self.scale is not None:
                return cosines(seen.float(), heard.float())
            return -distances(seen.float(), heard.float())

    def _terms(self, similarity: Tensor, positions: Tensor) -> Tensor:
        settings = self.config.loss
        if self.scale is not None:
            return multiway(self.scale.scale * similarity + self.scale.bias)
        draws = normal(self.recipe.seed, "negatives", positions, tuple(similarity.shape[1:]))
        return contrastive(-similarity, draws, settings.margin, settings.near_frames)

    def _chance(self, num_steps: int) -> float:
        if self.scale is not None:
            return multiway_chance(num_steps)
        return contrastive_chance(self.config.loss.margin)

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip: `loss` and `top1` over blocks of time steps, and of the picture made late
        by each number of frames the `error` of the lag that is found."""
        assert isinstance(network, SyncNet)
        return [self._judge_one(network, batch, row) for row in range(len(batch["key"]))]

    def _judge_one(self, network: SyncNet, batch: Batch, row: int) -> dict[str, float]:
        settings, most = self.config.judging, self.config.judging.planted_frames
        frames = int(tensor(batch["video_length"])[row])
        columns = COLUMNS_PER_FRAME * (frames + 2 * most)
        clip: Batch = {
            "video": tensor(batch["video"])[row : row + 1, :frames],
            "sound": tensor(batch["sound"])[row : row + 1, :columns],
        }
        similarity = self._similarity(*self._embed(network, clip))[0]
        num_steps = len(similarity)
        own = similarity[:, most : most + num_steps]
        block, count = settings.num_steps, num_steps // settings.num_steps
        first = (num_steps - count * block) // 2
        starts = range(first, first + count * block, block)
        blocks = torch.stack([own[s : s + block, s : s + block] for s in starts])
        at = tensor(batch["position"])[row].expand(count)
        # One clip, which no other rank has: no sums over ranks.
        loss = self._terms(blocks, at).mean()
        told = {"loss": float(loss), "top1": float(top1(blocks).mean())}
        for late in range(-most, most + 1):
            heard = similarity[:, most + late : most + late + num_steps]
            told[f"error_{late}"] = float(lag_frames(heard, settings.searched_frames) - late)
        return told

    def figures(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means of loss and top-1 with their chance, and of all planted lags' errors the median
        and the share within a frame."""
        errors = np.array([v for row in rows for n, v in row.items() if n.startswith("error_")])
        share = float(np.mean([row["top1"] for row in rows]))
        return {
            "loss": float(np.mean([row["loss"] for row in rows])),
            "chance": self._chance(self.config.judging.num_steps),
            "top1": share,
            "times_chance": share * self.config.judging.num_steps,
            "median_error_frames": float(np.median(np.abs(errors))),
            "within_1_frame": float((np.abs(errors) <= 1).mean()),
        }

    def remarks(self, figures: Mapping[str, float]) -> list[str]:
        """A loss that stays at chance is told in words; not one of a network that finds lags, whose
        loss on clips it has not seen can be high for being too sure."""
        is_low = figures["loss"] <= AT_CHANCE * figures["chance"]
        if is_low or figures["median_error_frames"] <= 1:
            return []
        return [
            f"the loss, {figures['loss']:.2f}, is that of guessing ({figures['chance']:.2f}): "
            "nothing is learnt yet of which sound belongs to which picture. If that stays so, see "
            "whether the corpus is in sync (yld audit), or give another recipe.learning_rate"
        ]
