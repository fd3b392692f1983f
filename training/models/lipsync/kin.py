"""Which windows a batch holds: speakers by chance, and two sentences of one speaker on purpose.

The hardest foreign sound is the same voice saying something else. Where most speakers have one
clip, two windows of one speaker are mostly of one clip, whose sound may hold what belongs to both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from training.models.lipsync.examples import Example


class Kin(NamedTuple):
    """What windows of a batch have in common, bool [B, B] each; nothing with themselves."""

    same_clip: torch.Tensor
    other_sentence: torch.Tensor
    """Of the same speaker."""


def kin_of(chosen: Sequence[Example]) -> Kin:
    names, people = (np.array(x) for x in zip(*((e.name, e.speaker) for e in chosen), strict=True))
    same_clip = names[:, None] == names[None]
    same_speaker = people[:, None] == people[None]
    other = same_speaker & ~same_clip
    np.fill_diagonal(same_clip, False)
    return Kin(torch.from_numpy(same_clip), torch.from_numpy(other))


def by_chance(
    groups: dict[str, list[Example]], count: int, most_frames: int, random: np.random.Generator
) -> Iterator[Example]:
    """Speakers drawn at random, two windows of each, of any of their clips."""
    people = sorted(groups)
    weight = _votes(groups, people, most_frames)
    chosen = random.choice(people, count // 2, p=weight / weight.sum())
    for person in np.repeat(chosen, 2):  # drawn one by one, between the windows' own chances
        yield _clips(groups[person], 1, random)[0]


def with_sentences(
    groups: dict[str, list[Example]],
    count: int,
    share: float,
    most_frames: int,
    random: np.random.Generator,
) -> list[Example]:
    """Of `count` windows a `share` in pairs of two clips of one speaker, as far as there are
    speakers with two; the others one by one."""
    people = sorted(groups)
    weight = _votes(groups, people, most_frames)
    several = weight * [len(groups[p]) > 1 for p in people]
    pairs = round(count * share / 2) if several.any() else 0
    made: list[Example] = []
    if pairs:
        for person in random.choice(people, pairs, p=several / several.sum()):
            made += _clips(groups[person], 2, random)
    singles = random.choice(people, count - 2 * pairs, p=weight / weight.sum())
    return made + [_clips(groups[person], 1, random)[0] for person in singles]


def _votes(groups: dict[str, list[Example]], people: list[str], most_frames: int) -> np.ndarray:
    """Between one vote a speaker and one a second: many speakers matter more than much of one."""
    return np.array([min(sum(map(len, groups[p])), most_frames) for p in people]) ** 0.6


def _clips(clips: list[Example], count: int, random: np.random.Generator) -> list[Example]:
    """So many different ones, long ones more often."""
    lengths = np.array([len(e) for e in clips], float)
    share = lengths / lengths.sum()
    if count == 1:
        return [clips[random.choice(len(clips), p=share)]]
    return [clips[i] for i in random.choice(len(clips), count, replace=False, p=share)]
