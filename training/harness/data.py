"""Which samples a training learns from and which judge it, and what their tables say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from manifests.media import gpu_span
from manifests.records import col
from manifests.shards import ShardSample
from training.data.order import key_of
from training.data.samples import ALL, Samples, shards_of_split
from training.data.wanted import Wanted


@dataclass(frozen=True)
class DataConfig:
    """Which parts of the corpora are used, and how they are mixed."""

    split: str = col("part to learn from", default="train")
    judged_split: str = col(
        "part that judges; held out of `split` where there is none", default="val"
    )
    held_out: float = col(
        "share of `split` that is held out where the corpus has no `judged_split`",
        default=0.1,
        above=0.0,
        at_most=0.5,
    )
    weights: list[float] | None = col(
        "of several corpora; as large as they are if null", default=None
    )
    judged_clips: int = col("at most so many judge", default=200, at_least=1)
    by_length: int = col(
        "sort clips by length within so many batches, for models that take whole clips; 0: do not",
        default=0,
        at_least=0,
    )
    decoder: Literal["pyav", "torchcodec"] = col(
        "of face.mp4; torchcodec: a GPU's own, where it finds FFmpeg (`yld doctor`)",
        default="pyav",
    )


@dataclass(frozen=True)
class Selected:
    """Some of a corpus's samples, by their numbers; what a loader takes for a corpus."""

    samples: Samples
    numbers: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.samples.name

    @property
    def root(self) -> Path | str:
        return self.samples.root

    @property
    def content(self) -> str | None:
        return self.samples.content

    @property
    def numbering(self) -> str:
        """Of the whole, and which of them."""
        told = f"{self.samples.numbering} {self.numbers}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def num_frames(self) -> np.ndarray | None:
        """int32 [len(self)], where lengths were asked for."""
        known = self.samples.num_frames
        return None if known is None else known[list(self.numbers)]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> ShardSample:
        return self.samples[self.numbers[number]]

    def key(self, number: int) -> str:
        """A sample's key, without reading it."""
        return self.samples.key(self.numbers[number])


@dataclass(frozen=True)
class Parts:
    """Of each corpus, what is learnt and what judges."""

    learnt: tuple[Selected, ...]
    judging: tuple[Selected, ...]
    notes: tuple[str, ...]
    """Sentences for the user: how much, what was left out and held out."""


def parts_of(
    corpora: Sequence[Path | str],
    config: DataConfig,
    wanted: Wanted,
    cache_dir: Path | None = None,
) -> Parts:
    """Folders, or addresses that are read through `cache_dir`. Raises ValueError where a corpus has
    no sample that is wanted, NoDecoderError where the wanted decoder cannot work here."""
    gpu_span.use(config.decoder)
    learnt, judging, notes = [], [], []
    share = -(-config.judged_clips // len(corpora))
    for root in corpora:
        samples = Samples.of(root, config.split, wanted, cache_dir=cache_dir)
        everything = tuple(range(len(samples)))
        if config.split != ALL and _has_split(root, config.judged_split):
            other = Samples.of(root, config.judged_split, wanted, cache_dir=cache_dir)
            learnt.append(Selected(samples, everything))
            judging.append(Selected(other, tuple(range(len(other)))[:share]))
            told = f"part {config.judged_split} judges"
        else:
            count = max(1, round(config.held_out * len(samples)))
            if count >= len(samples):
                raise ValueError(
                    f"{root} has {len(samples)} of the samples that {config.split!r} names, too "
                    f"few to hold {count} out to judge by; build it from more, or give "
                    "--set data.split=all"
                )
            out = sorted(everything, key=lambda n: key_of("held out", samples.key(n)))[:count]
            held = set(out)
            learnt.append(Selected(samples, tuple(n for n in everything if n not in held)))
            judging.append(Selected(samples, tuple(sorted(held))[:share]))
            told = (
                f"it has no part {config.judged_split}, so {count} of its clips "
                f"{'is' if count == 1 else 'are'} held out (same speakers)"
            )
        notes.append(
            f"{samples.name}: {len(learnt[-1])} clips to learn from; {told}; "
            f"{samples.left_out_sentence()}"
        )
    return Parts(tuple(learnt), tuple(judging), tuple(notes))


def _has_split(root: Path | str, split: str) -> bool:
    try:
        return bool(shards_of_split(root, split))
    except ValueError:
        return False


def speakers_of(parts: Sequence[Selected]) -> dict[str, str]:
    """The speaker of each sample by its key: from the table `samples` where there is one, else
    from the samples' own json. A sample that tells none is its own corpus's one speaker."""
    found: dict[str, str] = {}
    for part in parts:
        table: dict[str, str] = {}
        rows = part.samples.place.table("samples", ("clip_id", "speaker_id"))
        if rows is not None:
            table = {str(key): str(speaker) for key, speaker in rows}
        for number in range(len(part)):
            key = part.key(number)
            if key not in table:
                told = part[number].facts.get("speaker_id")
                table[key] = str(told) if told else f"{part.name}"
            found[key] = table[key]
    return found
