"""The out folder of `yld resync`: what was verified goes in, what yld did not write stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from manifests.files import atomic_path, sha256_of
from pipeline.own_folder import OwnFolder


def place(made: Mapping[str, Path], own: OwnFolder, kind: str) -> dict[str, str]:
    """Put files into `own`'s folder `kind` under their relative names; what earlier runs put there
    and is not among them goes. Returns why, for each name that could not be placed.

    Raises FileInTheWayError, with nothing changed, for what the folder's mark does not name.
    """
    refused = {name: why for name, file in made.items() if (
        why := _why_not(own, f"{kind}/{name}", file)) is not None}
    wanted = {f"{kind}/{name}": file for name, file in made.items() if name not in refused}
    own.about_to_write(wanted)
    for name, file in wanted.items():
        target = own.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(file, target)
    own.wrote(wanted)
    own.remove([name for name in own.files if name.startswith(f"{kind}/") and name not in wanted
                and _leads_out(own.root, name) is None])
    return refused


def _why_not(own: OwnFolder, name: str, file: Path) -> str | None:
    if (why := _leads_out(own.root, name)) is not None:
        return why
    target, written = own.root / name, own.files.get(name)
    if written is not None and target.exists() and target.samefile(file) and (
            sha256_of(file) != written):  # one file of two names: what was made is no more
        return (f"{target} was changed since it was written; move it away, remove "
                f"{own.root / 'work'} and run again")
    return None


def _leads_out(root: Path, name: str) -> str | None:
    """A link somewhere on the way may lead anywhere."""
    inside = root.resolve()
    parent = (root / name).parent.resolve()
    if parent != inside and inside not in parent.parents:
        return f"{root / name} leads out of {inside}"
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
