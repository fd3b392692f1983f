"""Weight files that are fetched: one registry, one cache, one way to get them.

A file that is part of yld is used from where it lies (`shipped`). Any other is looked for in the
cache folder (YLD_MODEL_DIR, else ~/.cache/yld/models), then in a
mirror folder (YLD_MODEL_MIRROR, for machines without a network), then at its address. It is
used only if size and SHA-256 are right. Where nobody has published a SHA-256, the first one
seen is recorded beside the file, and any later copy must equal it.

Many workers may ask at once: one fetches under a lock, the others wait and find it there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.files import atomic_path, sha256_of, write_atomic
from manifests.weights.archive import ArchiveError, extract
from manifests.weights.download import DownloadError, Tell, download
from manifests.weights.registry import REGISTRY, ModelFile

SHIPPED = Path(__file__).parent / "shipped"
"""Files of the registry that are part of yld; its README says whose they are."""


class ModelFileError(RuntimeError):
    """A weight file is neither here nor to be had; the message says what to do."""


__all__ = [
    "REGISTRY",
    "ModelFile",
    "ModelFileError",
    "cache_folder",
    "fetch",
    "mirror_folder",
    "state_of",
    "unusable",
]


def cache_folder() -> Path:
    """YLD_MODEL_DIR, else ~/.cache/yld/models; it need not exist."""
    return Path(os.environ.get("YLD_MODEL_DIR") or Path.home() / ".cache" / "yld" / "models")


def mirror_folder() -> Path | None:
    """YLD_MODEL_MIRROR, a folder with files of the registry's names; None if not set."""
    value = os.environ.get("YLD_MODEL_MIRROR")
    return Path(value) if value else None


def accepts_non_commercial() -> bool:
    """YLD_NON_COMMERCIAL is set: files for non-commercial use may be downloaded."""
    return bool(os.environ.get("YLD_NON_COMMERCIAL"))


def state_of(file: ModelFile) -> tuple[str, str]:
    """(here | mirror | absent | damaged, the path or what is wrong); the network is left alone."""
    folder, mirror = cache_folder(), mirror_folder()
    if (SHIPPED / file.name).exists():
        fault = _fault(SHIPPED / file.name, file, folder)
        return ("damaged", fault) if fault else ("here", str(SHIPPED / file.name))
    fault = _fault(folder / file.name, file, folder)
    if fault is None:
        return "here", str(folder / file.name)
    if (folder / file.name).exists():
        return "damaged", fault
    if mirror is not None and (mirror / file.name).exists():
        fault = _fault(mirror / file.name, file, folder)
        return ("mirror", str(mirror / file.name)) if fault is None else ("damaged", fault)
    return "absent", ""


def fetch(
    file: ModelFile | str,
    may_download: bool = True,
    non_commercial: bool | None = None,
    tell: Tell | None = None,
) -> Path:
    """A checked copy of `file` (an entry or its name) in the cache folder, or the one that ships.

    `may_download` False leaves the network alone. Files whose licence rules out commercial use
    are downloaded only with `non_commercial` (None: as YLD_NON_COMMERCIAL says); a copy that
    is already here or in the mirror is used as it is. `tell` follows a download. Raises KeyError
    for a name that is not in the registry, ModelFileError where the file cannot be had.
    """
    file = REGISTRY[file] if isinstance(file, str) else file
    folder = cache_folder()
    if (SHIPPED / file.name).exists():
        fault = _fault(SHIPPED / file.name, file, folder)
        if fault is not None:
            raise ModelFileError(f"{fault}; it is part of yld: install it again")
        return SHIPPED / file.name
    path = folder / file.name
    if _known_sha256(file, folder) is not None and _fault(path, file, folder) is None:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{file.name}.lock"):
        fault = _fault(path, file, folder)
        if fault is None:  # another worker brought it, or a person put it there
            _record(path, file, folder)
            return path
        notes = [fault] if path.exists() else []
        mirror = mirror_folder()
        if mirror is not None:
            fault = _fault(mirror / file.name, file, folder)
            if fault is None:
                with atomic_path(path) as temporary:
                    shutil.copyfile(mirror / file.name, temporary)
                _record(path, file, folder)
                return path
            notes.append(fault)
        if not may_download:
            raise _unavailable(file, folder, [*notes, "downloads are not allowed here"])
        accepted = accepts_non_commercial() if non_commercial is None else non_commercial
        if file.non_commercial and not accepted:
            raise _unavailable(
                file,
                folder,
                [
                    *notes,
                    f"its licence rules out commercial use ({file.licence}); if yours is "
                    f"not, `yld models fetch {file.name} --non-commercial` or "
                    "YLD_NON_COMMERCIAL=1 downloads it",
                ],
            )
        return _downloaded(file, folder, notes, tell)


def _downloaded(file: ModelFile, folder: Path, notes: list[str], tell: Tell | None = None) -> Path:
    part = folder / f".{file.name}.part"
    for attempt in range(2):
        try:
            if file.archive is None:
                download(file.url, part, file.size, tell)
            else:
                extract(file.url, file.archive, folder / f".{file.name}.archive.part", part, tell)
        except (DownloadError, ArchiveError) as error:
            raise _unavailable(file, folder, [*notes, str(error)]) from error
        fault = _fault(part, file, folder)
        if fault is None:
            os.chmod(part, 0o644)
            with open(part, "rb") as content:
                os.fsync(content.fileno())
            os.replace(part, folder / file.name)
            _record(folder / file.name, file, folder)
            return folder / file.name
        part.unlink()
        if attempt:  # the first may have been two versions joined by resuming
            notes = [*notes, fault.replace(str(part), f"what {file.url} gives")]
    raise _unavailable(file, folder, notes)


def _fault(path: Path, file: ModelFile, folder: Path) -> str | None:
    """Why the file at `path` is not `file`, or None."""
    if not path.is_file():
        return f"{path} does not exist"
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{path} has {size} bytes instead of {file.size}"
    if size < file.min_size:
        return f"{path} has {size} bytes, fewer than the {file.min_size} of its weights"
    known = _known_sha256(file, folder)
    if known is None:
        return None
    found = sha256_of(path)
    if found == known:
        return None
    seen_before = (
        ""
        if file.sha256
        else (f", the one first seen (to trust the new one, delete {_record_path(file, folder)})")
    )
    return f"{path} has the SHA-256 {found} instead of {known}{seen_before}"


def _record_path(file: ModelFile, folder: Path) -> Path:
    return folder / f"{file.name}.json"


def _known_sha256(file: ModelFile, folder: Path) -> str | None:
    if file.sha256:
        return file.sha256
    try:
        return json.loads(_record_path(file, folder).read_text())["sha256"]
    except FileNotFoundError:
        return None


def _record(path: Path, file: ModelFile, folder: Path) -> None:
    """Remember what was trusted, where nobody has published it."""
    if _known_sha256(file, folder) is None:
        facts = {
            "name": file.name,
            "url": file.url,
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
            "trusted": "on first use",
            "recorded_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_atomic(_record_path(file, folder), json.dumps(facts, indent=1) + "\n")


def unusable(path: Path | str, fault: str) -> ModelFileError:
    """The error for a file that is here and whose content is not what its reader wants."""
    path = Path(path)
    record = path.with_name(f"{path.name}.json")
    both = f"{path} and {record.name} beside it" if record.exists() else str(path)
    return ModelFileError(
        f"{path} cannot be used: {fault}. Delete {both} and run `yld models fetch {path.name}`"
    )


def _unavailable(file: ModelFile, folder: Path, notes: list[str]) -> ModelFileError:
    path = folder / file.name
    state, remedy = "is not here", ""
    if path.exists():
        state = "is damaged"
        remedy = f"Delete {path} and run `yld models fetch {file.name}`. Without a network: put"
    return ModelFileError(
        f"{file.name} {state} and could not be fetched from {file.url}: "
        f"{'; '.join(notes)}. {remedy or 'Put'} the file into {folder}, or name a folder that "
        f"holds it with --model-dir or YLD_MODEL_MIRROR. It is needed for {file.purpose}; what "
        f"works without it: {file.without}."
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The system's lock: it goes when its holder dies, however that dies."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
