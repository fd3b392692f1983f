"""One row of the table: compose, read, judge."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.media_truth.cases import CASES
from benchmarks.media_truth.compare import Verdict, judge, open_video
from benchmarks.media_truth.compose import compose
from benchmarks.media_truth.defects import DEFECTS
from benchmarks.media_truth.table import Case
from manifests.media import MediaError


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
        return (f"{'right' if self.right else 'WRONG':5}  {self.name:44} {self.outcome:12} "
                f"{v.num_frames:4} frames, {wrong:3} wrong  {v.num_windows:3} windows "
                f"{v.lag_samples:+6.2f} samples, r {v.correlation:.3f}  "
                f"composed {v.composed_lag_samples:+6.2f}"
                + ("" if self.right else "  | " + "; ".join(self.faults[:4])))


def all_cases() -> list[Case]:
    """Every row, sound files first."""
    return [*CASES, *DEFECTS]


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
