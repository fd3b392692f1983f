"""One row of the table: compose, read, judge."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.media_truth import containers, contents, defects
from benchmarks.media_truth.compare import Verdict, judge
from benchmarks.media_truth.compose import compose
from benchmarks.media_truth.table import Case
from manifests.media.facts import MediaError
from manifests.media.video import open_video


@dataclass
class Row:
    """What became of a case; right if there are no faults."""

    name: str
    outcome: str
    """"read", or the reason for which it was rejected."""
    faults: list[str]
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        return not self.faults

    def line(self) -> str:
        """The row of the printed table."""
        v = self.verdict
        wrong = max(v.wrong_by_ffmpeg, v.wrong_by_composition)
        return (
            f"{'right' if self.right else 'WRONG':5}  {self.name:44} {self.outcome:12} "
            f"{v.num_frames:4} frames, {wrong:3} wrong  {v.num_windows:3} windows "
            f"{v.lag_samples:+6.2f} samples, r {v.correlation:.3f}  "
            f"composed {v.composed_lag_samples:+6.2f}"
            + ("" if self.right else "  | " + "; ".join(self.faults[:4]))
        )


KINDS: dict[str, list[Case]] = {
    "containers and codecs": containers.CONTAINERS,
    "1 to 240 fps, variable rates": containers.RATES,
    "late and early starts": contents.STARTS,
    "holes, clocks that wrap": contents.HOLES,
    "kinds of sound, choice of tracks": contents.SOUNDS,
    "kinds of picture, sizes and rates that change": contents.PICTURES,
    "no decoder, encrypted, a stream missing": defects.UNDECODABLE,
    "H.264 and MPEG-4 without stamps": defects.UNSTAMPED,
    "odd channels, opposite phase": defects.CHANNELS,
    "clocks that jump": defects.JUMPS,
    "rotated and mirrored": defects.TURNS,
    "truncated, begun in the middle": defects.TRUNCATIONS,
}


def all_cases() -> list[Case]:
    """Every row, sound files first."""
    return [case for cases in KINDS.values() for case in cases]


def run_case(case: Case, folder: Path) -> Row:
    """Compose and judge; nothing but a fault of the bench itself is raised."""
    began, stem = time.monotonic(), re.sub(r"[^a-z0-9.]+", "-", case.name.lower())
    if case.parts:
        paths = [compose(part, folder, f"{stem}.{i}") for i, part in enumerate(case.parts)]
        path = folder / (stem + paths[0].suffix)
        path.write_bytes(b"".join(p.read_bytes() for p in paths))
    else:
        path = compose(case.recipe, folder, stem)
    row = _judged(case, path)
    row.seconds = round(time.monotonic() - began, 3)
    return row


def _judged(case: Case, path: Path) -> Row:
    allowed = case.expected.rejects
    try:
        if allowed:
            open_video(path)
            return Row(case.name, "read", [f"read, where {' or '.join(sorted(allowed))} was due"])
        verdict = judge(path, case.recipe, case.parts, case.expected)
    except MediaError as error:
        wrong = [] if error.reason in allowed else [f"rejected: {error.reason}: {error}"]
        if not wrong and case.expected.words not in str(error):
            wrong = [f"{case.expected.words!r} is not named: {error}"]
        return Row(case.name, error.reason, wrong)
    except Exception as error:
        return Row(case.name, "crashed", [f"{type(error).__name__}: {error}"])
    return Row(case.name, "read", verdict.faults, verdict)


def by_kind(rows: Sequence[Row]) -> str:
    """A line a kind, as Markdown. Lags and correlations are with ffmpeg's sound."""
    done = {row.name: row for row in rows}
    lines = [
        "| kind | right | frames | wrong | 200 ms of sound | farthest, samples "
        "| least correlation |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, cases in KINDS.items():
        own = [done[c.name] for c in cases if c.name in done]
        if not own:
            continue
        read = [r.verdict for r in own if r.verdict.num_frames]
        wrong = sum(max(v.wrong_by_ffmpeg, v.wrong_by_composition) for v in read)
        far = max((abs(v.lag_samples) for v in read), default=0.0)
        least = min((v.correlation for v in read), default=1.0)
        lines.append(
            f"| {kind} | {sum(r.right for r in own)} of {len(own)} "
            f"| {sum(v.num_frames for v in read):,} | {wrong} "
            f"| {sum(v.num_windows for v in read):,} | {far:.2f} | {least:.3f} |"
        )
    return "\n".join(lines)
