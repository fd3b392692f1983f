"""The out folder of `yld resync`: what was verified goes in, what yld did not write stays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from manifests.files import atomic_path, write_atomic

LIST = "written.json"


def place(made: Mapping[str, Path], folder: Path, work: Path) -> dict[str, str]:
    """Put files into `folder` under their relative names; what earlier runs put there and is not
    among them goes. Returns why, for each name that could not be placed.

    Only names in `work`'s own list are ever removed or written over.
    """
    note = work / LIST
    ours = set(json.loads(note.read_text())) if note.exists() else set()
    refused = {name: why for name in made if (why := _why_not(folder, name, ours))}
    wanted = {name: file for name, file in made.items() if name not in refused}
    work.mkdir(parents=True, exist_ok=True)
    write_atomic(note, json.dumps(sorted(ours | set(wanted))))  # before: a crash leaves no stranger
    for name, file in wanted.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(file, target)
    for name in sorted(ours - set(wanted)):
        target = folder / name
        if _leads_out(folder, name) is None and target.is_file() and not target.is_symlink():
            target.unlink()
    write_atomic(note, json.dumps(sorted(wanted)))
    return refused


def _why_not(folder: Path, name: str, ours: set[str]) -> str | None:
    if (why := _leads_out(folder, name)) is not None:
        return why
    if os.path.lexists(folder / name) and name not in ours:
        return f"{folder / name} is there and was not written by this command; move it away"
    return None


def _leads_out(folder: Path, name: str) -> str | None:
    """A link somewhere on the way may lead anywhere."""
    root = folder.parent.resolve()
    parent = (folder / name).parent.resolve()
    if parent != root and root not in parent.parents:
        return f"{folder / name} leads out of {root}"
    return None


def _link(file: Path, target: Path) -> None:
    """`target` becomes `file`: a second name where the file system can, else a copy."""
    if target.exists() and target.samefile(file):
        return
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)
