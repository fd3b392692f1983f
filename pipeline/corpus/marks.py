"""Clips that a person marked (`yld browse`): the next build leaves them out, with the reason.

They stand in `DIR/work/marks.json`, by clip id. A mark that is taken back brings the clip back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from manifests.files import write_atomic

NAME = "marks.json"
FORMAT = 1
REASONS = ("out of sync", "wrong face", "bad picture", "bad sound", "wrong words", "other")
DUPLICATE = "duplicate"
"""The reason of a clip that `yld dedup --reject` marked."""
MAX_NOTE = 400


@dataclass(frozen=True)
class Mark:
    """One clip that shall not be published."""

    reason: str
    """One of REASONS, or DUPLICATE."""
    note: str = ""
    marked_at: str = ""
    """UTC, ISO 8601."""

    def in_words(self) -> str:
        """The reason, and what was noted."""
        return f"{self.reason}: {self.note}" if self.note else self.reason


class MarksError(ValueError):
    """The file of marks cannot be read, or a mark is none."""


def make(reason: str, note: str = "") -> Mark:
    """A mark of now. Raises MarksError."""
    if reason not in (*REASONS, DUPLICATE):
        raise MarksError(f"no reason is named {reason!r}; there are: {', '.join(REASONS)}")
    return Mark(reason, note.strip()[:MAX_NOTE], datetime.now(UTC).isoformat(timespec="seconds"))


def read(work: Path) -> dict[str, Mark]:
    """Marks by clip id; none where there is no file. Raises MarksError naming it."""
    path = work / NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {str(clip): Mark(**mark) for clip, mark in told["clips"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MarksError(
            f"{path} holds no marks of `yld browse` ({type(error).__name__}); move it away, and "
            "its clips are published again"
        ) from None


def write(work: Path, marks: Mapping[str, Mark]) -> None:
    """All of them, in the order of the ids. Without indents: with them thousands take as long as a
    person notices."""
    clips = {clip: vars(marks[clip]) for clip in sorted(marks)}
    text = json.dumps({"format": FORMAT, "clips": clips}, ensure_ascii=False)
    write_atomic(work / NAME, text + "\n")


def state(work: Path) -> tuple[int, int, int] | None:
    """What differs after anybody has written them; None where there are none."""
    try:
        facts = (work / NAME).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
