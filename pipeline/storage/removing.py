"""Whether a removal is at work in a corpus, or was stopped: its journal is there until it ends."""

from __future__ import annotations

from pathlib import Path

JOURNAL = "removing.json"
"""Below `work` (`pipeline.build.gone` reads and writes it)."""


def refuse_stopped(root: Path) -> None:
    """Raises ValueError where a removal was stopped: what is copied now may hold what was to go."""
    path = root / "work" / JOURNAL
    if path.exists():
        raise ValueError(
            f"a removal of {root} was stopped ({path}); `yld remove {root}` completes it"
        )
