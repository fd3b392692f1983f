"""The deblurring network's settings and presets (Chung et al. 2017, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from manifests.records import col
from training.data.every_fifth import EveryFifth
from training.harness.data import DataConfig
from training.harness.recipe import Recipe


@dataclass(frozen=True)
class DeblurShape:
    """All that decides which parameters there are."""

    channels: int = col("of each layer but the last", default=64, at_least=1)
    layers: int = col("convolutions (3.3: 10)", default=10, at_least=2)


@dataclass(frozen=True)
class BlurConfig:
    """How faces are blurred; the paper shows it (figure 9) and gives no kernel. All inferred."""

    kernel_px: int = col("side of the Gaussian; odd", "px", default=5, at_least=1)
    sigma_px: float = col("of the Gaussian, as published code has it", "px", default=2.0, above=0.0)
    least_scale: float = col(
        "a picture is first made smaller by a factor from here to 1, and large again",
        default=0.5,
        above=0.0,
        at_most=1.0,
    )

    def __post_init__(self) -> None:
        if self.kernel_px % 2 == 0:
            raise ValueError(f"kernel_px must be odd, not {self.kernel_px}")


@dataclass(frozen=True)
class DeblurConfig:
    """All settings of a training."""

    shape: DeblurShape = field(default_factory=DeblurShape)
    blur: BlurConfig = field(default_factory=BlurConfig)
    frames_per_clip: int = col(
        "faces that a clip teaches with at each visit", "frame", default=4, at_least=1
    )
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def view(self) -> EveryFifth:
        """The faces that the generator learns from, without their sound."""
        return EveryFifth(frames_per_clip=self.frames_per_clip, pairing="raw", sound=None)


def paper() -> DeblurConfig:
    """3.3 and figure 8 give the layers; rate, batch and length are inferred (Adam, 1e-4, 64)."""
    return DeblurConfig(
        recipe=Recipe(
            steps=50_000,
            batch=16,
            learning_rate=1e-4,
            validate_every_steps=2000,
            patience=3,
            save_every_steps=1000,
            log_every_steps=50,
        ),
    )


def small() -> DeblurConfig:
    """For two cores: a quarter of the channels, 8 faces a step."""
    return DeblurConfig(
        shape=DeblurShape(channels=16),
        recipe=Recipe(
            steps=300,
            batch=2,
            learning_rate=1e-3,
            schedule="cosine",
            clip_norm=1.0,
            validate_every_steps=100,
            save_every_steps=100,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
