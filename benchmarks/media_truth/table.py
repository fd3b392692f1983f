"""What rows of the table are made of: a case, and recipes of the common containers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.media_truth.compare import Expected
from benchmarks.media_truth.recipe import Recipe, Sound


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    recipe: Recipe
    expected: Expected = Expected()
    parts: tuple[Recipe, ...] = ()
    """Written one by one and joined byte by byte in the place of `recipe`."""
    fast: bool = False


REALTIME = {"deadline": "realtime", "cpu-used": "8", "g": "25"}
MILLISECONDS = Expected(
    sound_slack_samples=16,
    composed_sound_slack_samples=17,
    why="stamps are whole milliseconds: sound is exact to a tick",
)


def mp4(**changes) -> Recipe:
    return Recipe(**changes)


def mov(**changes) -> Recipe:
    return Recipe(
        **{"container": "mov", "suffix": ".mov", "sounds": (Sound("pcm_s16le"),), **changes}
    )


def mkv(**changes) -> Recipe:
    return Recipe(**{"container": "matroska", "suffix": ".mkv", **changes})


def webm(**changes) -> Recipe:
    return Recipe(
        **{
            "container": "webm",
            "suffix": ".webm",
            "codec": "libvpx-vp9",
            "codec_options": REALTIME,
            "sounds": (Sound("libopus"),),
            **changes,
        }
    )


def ts(**changes) -> Recipe:
    return Recipe(
        **{
            "container": "mpegts",
            "suffix": ".ts",
            "options": {"avoid_negative_ts": "disabled"},
            **changes,
        }
    )


def avi(**changes) -> Recipe:
    return Recipe(
        **{
            "container": "avi",
            "suffix": ".avi",
            "codec": "mpeg4",
            "codec_options": {"qscale": "3"},
            "sounds": (Sound("pcm_s16le"),),
            **changes,
        }
    )


def flv(**changes) -> Recipe:
    return Recipe(
        **{"container": "flv", "suffix": ".flv", "sounds": (Sound(rate_hz=44100),), **changes}
    )
