"""Opinions on a clip's sound without a reference, by networks that learnt them from listeners.

A stage of its own behind the scores: who asks for them later has nothing else done again, and who
does not ask has no such stage (`pipeline.graph.main_job`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from manifests.records import Opinion, Scores, col
from manifests.weights.registry import REGISTRY
from stages.backends.dnsmos import Dnsmos
from stages.backends.utmos import Utmos
from stages.backends.weights import weights
from stages.base import Context, Resources, Stage
from stages.clips.scores import sample_of


class Judge(Protocol):
    """A network that thinks of sound."""

    version: ClassVar[str]
    weights_names: ClassVar[tuple[str, ...]]

    def __init__(self, device: str = "cpu") -> None: ...

    def setup(self) -> None: ...

    def opinion(self, sound: np.ndarray) -> dict[str, float | None]:
        """int16 [N] at 16 kHz -> columns of `Opinion`, 1 to 5; None for what is too short."""
        ...


JUDGES: dict[str, type[Judge]] = {"dnsmos": Dnsmos, "utmos": Utmos}


@dataclass(frozen=True)
class OpinionsConfig:
    """Which networks are asked what listeners would think of the sound."""

    models: list[Literal["dnsmos", "utmos"]] = col(
        "networks asked for a mean opinion score; none: their columns stay empty",
        default_factory=list,
    )
    device: Literal["cpu", "cuda"] = col("where they run", default="cpu")


class Opinions(Stage[Scores, Opinion]):
    """Scored clips -> opinions, one each."""

    name = "opinions"
    version = 1
    resources = Resources(memory_gb=4.0, timeout_s=600.0)
    reads_side_folders = frozenset({"clips"})
    splittable = True

    @classmethod
    def devices(cls, config: OpinionsConfig) -> dict[str, str]:
        return {"device": config.device}

    @classmethod
    def check_here(cls, config: OpinionsConfig) -> None:
        for model in config.models:
            for file in JUDGES[model].weights_names:
                weights(file)

    def setup(self) -> None:
        self._judges = [JUDGES[model](self.config.device) for model in self.config.models]
        for judge in self._judges:
            judge.setup()

    def fingerprint(self) -> dict[str, list[str]]:
        return {
            model: [
                JUDGES[model].version,
                *((REGISTRY[f].sha256 or f)[:16] for f in JUDGES[model].weights_names),
            ]
            for model in self.config.models
        }

    def process(self, batch: Sequence[Scores], context: Context) -> list[list[Opinion]]:
        return [[self._one(scores, context)] for scores in batch]

    def _one(self, scores: Scores, context: Context) -> Opinion:
        sound = sample_of(context.clips[scores.clip_id], context.work).sound
        told: dict[str, float | None] = {}
        for judge in self._judges:
            told |= judge.opinion(sound)
        return Opinion(scores.clip_id, scores.video_id, **told)
