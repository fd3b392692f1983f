"""Train, val and test parts that do not leak, and that stay put when sources are added.

`official`: as the corpora that the sources are of divide them (`yld corpora`). `auto`: so where
every clip has such a part, else by speaker with at least 10 speakers, else by source video with at
least 20, else in contiguous blocks of time inside each video with a guard between. A unit's part
follows from a hash of its id against thresholds that are frozen once there is a val or test part.
`list:FILE` takes each video's part from a file (`split_rules.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from manifests.columns import values_of
from manifests.records import Clip, Video, col
from manifests.split_rules import PREFIX, Rule, part_of, read_rules

MIN_SPEAKERS, MIN_VIDEOS = 10, 20
MIN_BLOCK_FRAMES = 150
"""Least length of a block of time beside its guard: a row of clips of 75 has a whole one in it."""


POLICIES = ("auto", "official", "speaker", "source", "time")


class EmptySplitError(ValueError):
    """A part that was asked for got no clip; the message says what to do."""


@dataclass(frozen=True)
class SplitConfig:
    """How clips are divided."""

    policy: str = col(
        f"what keeps parts apart: {', '.join(POLICIES)}, or list:FILE, which names each video's "
        "part (list:grid_80_20, list:grid_90_5_5, list:grid_15_8_10 ship)",
        default="auto",
    )
    val_share: float = col("share of units in val", at_least=0, at_most=1, default=0.05)
    test_share: float = col("share of units in test", at_least=0, at_most=1, default=0.05)
    guard_frames: int = col(
        "frames left out between blocks of time", "frame", at_least=0, default=25
    )

    def __post_init__(self) -> None:
        if self.policy not in POLICIES and not self.policy.startswith(PREFIX):
            raise ValueError(
                f"policy is one of {', '.join(POLICIES)}, or list:FILE, not {self.policy}"
            )
        if self.val_share + self.test_share >= 1:
            raise ValueError(
                f"val_share={self.val_share:g} and test_share={self.test_share:g} "
                "must leave room for train: below 1 together"
            )


def rules_of(config: SplitConfig) -> list[Rule]:
    """The list's rules; none for the other policies. Raises ValueError."""
    return read_rules(config.policy) if config.policy.startswith(PREFIX) else []


def position(identifier: str) -> float:
    """A fixed number in [0, 1) for an id."""
    return int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big") / 2**64


def freeze(
    config: SplitConfig,
    clips: Sequence[Clip],
    whose: Collection[str],
    official: Mapping[str, str] = MappingProxyType({}),
) -> dict:
    """The policy of a corpus at its first build, as plain data to be kept beside it. `whose`: all
    speakers of these clips; `official`: the parts that the sources' own corpora give clips, by
    id."""
    speakers = sorted(set(whose))
    videos = sorted(set(values_of(clips, "video_id")))
    policy = config.policy
    if rules := rules_of(config):
        return _frozen_list(config, rules)
    if policy == "official" or (
        policy == "auto" and all(c in official for c in values_of(clips, "clip_id"))
    ):
        return {
            "policy": "official",
            "asked": config.policy,
            "why": "as configured"
            if policy == "official"
            else "every clip's own corpus gives it a part",
        }
    if policy == "auto":
        policy = (
            "speaker"
            if len(speakers) >= MIN_SPEAKERS
            else "source"
            if len(videos) >= MIN_VIDEOS
            else "time"
        )
        why = (
            f"chosen automatically: {len(speakers)} speakers (10 needed for disjoint "
            f"speakers), {len(videos)} videos (20 needed for disjoint videos)"
        )
    else:
        why = "as configured"
    units = {"speaker": speakers, "source": videos, "time": []}[policy]
    ranked = sorted(position(u) for u in units)
    val = _threshold(ranked, config.val_share, 0)
    test = _threshold(ranked, config.test_share, _count(ranked, config.val_share))
    return {
        "policy": policy,
        "asked": config.policy,
        "why": why,
        "val_below": val,
        "test_below": max(val, test),
        "val_share": config.val_share,
        "test_share": config.test_share,
        "guard_frames": config.guard_frames,
    }


def _frozen_list(config: SplitConfig, rules: list[Rule]) -> dict[str, Any]:
    """The rules are kept, so that the file may go."""
    return {
        "policy": "list",
        "asked": config.policy,
        "why": f"as listed by {config.policy.removeprefix(PREFIX)}",
        "rules": [list(rule) for rule in rules],
    }


def is_open(frozen: dict[str, Any], parts: Sequence[str]) -> bool:
    """Whether a frozen policy may still give way: chosen automatically for a corpus so small that
    nothing but `train` got a clip. Nobody has a val or test part that could leak."""
    return frozen["asked"] == "auto" and frozen["policy"] == "time" and set(parts) <= {"train"}


def _count(ranked: Sequence[float], share: float) -> int:
    """Units of a part: at least one if the part is wanted and can be had."""
    if share == 0 or len(ranked) < 3:
        return 0
    return max(1, round(share * len(ranked)))


def _threshold(ranked: Sequence[float], share: float, before: int) -> float:
    count = before + _count(ranked, share)
    if not ranked or count == 0:
        return 0.0
    return (ranked[count - 1] + ranked[count]) / 2 if count < len(ranked) else 1.0


def assign(
    frozen: dict[str, Any],
    clip: Clip,
    speaker: str,
    video: Video,
    official: str | None = None,
    names: Sequence[str] = (),
) -> str | None:
    """`train`, `val` or `test`; None for a clip in the guard between blocks of time, or that no
    line of the list names, by its file's path or by `names` of its corpus, or that its corpus
    gives no part. Where nobody asked for the corpus's parts, such a clip is `train`."""
    if frozen["policy"] == "list":
        found = (part_of(frozen["rules"], path) for path in (video.media_path, *names))
        return next((part for part in found if part is not None), None)
    if frozen["policy"] == "official":
        return official or ("train" if frozen["asked"] == "auto" else None)
    if frozen["policy"] == "time":
        blocks = _blocks(frozen, video.num_frames)
        for low, high, name in blocks:
            if low <= clip.start_frame and clip.end_frame <= high:
                return name
        return None
    where = position(speaker if frozen["policy"] == "speaker" else clip.video_id)
    return (
        "val"
        if where < frozen["val_below"]
        else "test"
        if where < frozen["test_below"]
        else "train"
    )


def _blocks(frozen: dict[str, Any], num_frames: int) -> list[tuple[float, float, str]]:
    """The spans of a video that a clip must lie in, with half a guard off at inner borders.

    A video whose smaller block would not hold one clip beside its guard is `train` as a whole:
    dividing it would only lose what lies at the borders.
    """
    shares = {n: frozen[f"{n}_share"] for n in ("val", "test") if frozen[f"{n}_share"] > 0}
    guard = frozen["guard_frames"] / 2
    least = MIN_BLOCK_FRAMES + 2 * guard
    if not shares or min(shares.values()) * num_frames < least:
        return [(0, num_frames, "train")]
    edges, names = [num_frames * (1 - sum(shares.values()))], ["train", *shares]
    for share in shares.values():
        edges.append(edges[-1] + share * num_frames)
    starts, last = [0.0, *edges[:-1]], len(names) - 1
    return [
        (low + guard * (i > 0), num_frames if i == last else high - guard, name)
        for i, (low, high, name) in enumerate(zip(starts, edges, names, strict=True))
    ]


def describe(frozen: dict[str, Any], parts: Sequence[str]) -> str:
    """One sentence on the policy and the sizes. Raises EmptySplitError."""
    sizes = Counter(parts)
    if frozen["policy"] in ("list", "official"):
        told = ", ".join(f"{n} {sizes[n]}" for n in ("train", "val", "test"))
        how = "by list" if frozen["policy"] == "list" else "as its corpora divide it"
        return f"Split {how} ({frozen['why']}): {told}."
    empty = [
        n
        for n, s in (("val", frozen["val_share"]), ("test", frozen["test_share"]))
        if s > 0 and not sizes[n]
    ]
    if empty and frozen["asked"] != "auto":
        raise EmptySplitError(
            f"no clip fell into {' and '.join(empty)} by {frozen['policy']}, and nothing was "
            f"published. Add sources, raise "
            f"splits.{empty[0]}_share, set it to 0, or use splits.policy=auto."
        )
    names = {
        "speaker": "by speaker",
        "source": "by source video",
        "time": "by blocks of time inside each video",
    }
    text = f"Split {names[frozen['policy']]} ({frozen['why']}): " + ", ".join(
        f"{n} {sizes[n]}" for n in ("train", "val", "test")
    )
    if empty:
        text += f". The corpus is too small to fill {' and '.join(empty)}"
    return text + "."
