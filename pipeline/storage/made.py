"""What was made of a corpus elsewhere, so that a removal can name it: `work/made.json`.

Each export, repacked and merged corpus is noted by its folder. A folder that was moved is not found
there, and a corpus that nobody may write in keeps no notes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from manifests.files import write_atomic
from manifests.paths import as_path, as_text

NAME = "made.json"


@dataclass(frozen=True)
class Made:
    """One folder, or file, that was made of the corpus."""

    path: str
    command: str
    """What made it: `export`, `shards repack`, `merge`."""
    options: str
    """What was typed with it, without the folders: `--as wav2lip`."""

    @property
    def place(self) -> Path:
        return as_path(self.path)


def note(root: Path, out: Path, command: str, **options: object) -> None:
    """`out` is made of the corpus at `root`, by a command with these options; those that are None
    were not given."""
    work = root / "work"
    if not work.is_dir():
        return  # shards alone, or a copy of what is published
    typed = [w for n, v in options.items() if v is not None for w in _typed(n, v)]
    made = Made(as_text(out.resolve()), command, shlex.join(typed))
    kept = [m for m in noted(root) if m.path != made.path]
    told = json.dumps([asdict(m) for m in [*kept, made]], indent=1)
    with contextlib.suppress(OSError):
        write_atomic(work / NAME, told + "\n")


def noted(root: Path) -> list[Made]:
    """What is known to have been made and is still there."""
    try:
        told = json.loads((root / "work" / NAME).read_text(encoding="utf-8"))
        found = [Made(str(m["path"]), str(m["command"]), str(m["options"])) for m in told]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [m for m in found if os.path.lexists(m.place)]


def _typed(name: str, value: object) -> list[str]:
    option = f"--{name.rstrip('_').replace('_', '-')}"
    return [option] if value is True else [] if value is False else [option, str(value)]
