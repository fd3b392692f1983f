"""The out folder of `yld resync`: what was verified goes in, what yld did not write stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from manifests.files import atomic_path, sha256_of
from pipeline.storage.own_folder import OwnFolder


def place(made: Mapping[str, Path], own: OwnFolder, kind: str) -> dict[str, str]:
    """Put files into `own`'s folder `kind` under their relative names; what earlier runs put there
    and is not among them goes. Returns why, for each name that could not be placed.

    Raises FileInTheWayError, with nothing changed, for what the folder's mark does not name.
    """
    refused = {
        name: why for name in made if (why := _leads_out(own.root, f"{kind}/{name}")) is not None
    }
    wanted = {f"{kind}/{name}": file for name, file in made.items() if name not in refused}
    own.refuse_foreign(wanted)
    new = {name: file for name, file in wanted.items() if not _is_there(own, name, file)}
    own.about_to_write(new)
    for name, file in new.items():
        _copy(file, own.root / name)
    own.wrote(new)
    own.remove(
        [
            name
            for name in own.files
            if name.startswith(f"{kind}/")
            and name not in wanted
            and _leads_out(own.root, name) is None
        ]
    )
    return refused


def _is_there(own: OwnFolder, name: str, file: Path) -> bool:
    """Whether an earlier run put just this there, and nobody touched it since."""
    target, written = own.root / name, own.files.get(name)
    return (
        written is not None
        and target.is_file()
        and not target.samefile(file)
        and sha256_of(target) == written == sha256_of(file)
    )


def _leads_out(root: Path, name: str) -> str | None:
    """A link somewhere on the way may lead anywhere."""
    inside = root.resolve()
    parent = (root / name).parent.resolve()
    if parent != inside and inside not in parent.parents:
        return f"{root / name} leads out of {inside}"
    return None


def _copy(file: Path, target: Path) -> None:
    """`target` gets the content of `file`, never a second name of it: who edits the one in place
    must not change the other. A file system that can share blocks does."""
    with atomic_path(target) as temporary:
        try:
            with open(file, "rb") as source, open(temporary, "wb") as copy:
                while os.copy_file_range(source.fileno(), copy.fileno(), 1 << 30):
                    pass
        except (OSError, AttributeError):  # not on this system, or not between these two
            shutil.copyfile(file, temporary)
        if temporary.stat().st_size != file.stat().st_size:
            shutil.copyfile(file, temporary)
