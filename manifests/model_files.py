"""Weight files that are fetched: one registry, one cache, one way to get them.

A file is looked for in the cache folder (YLD_MODEL_DIR, else ~/.cache/yld/models), then in a
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
from dataclasses import dataclass
from pathlib import Path

from manifests.files import atomic_path, sha256_of, write_atomic
from manifests.model_download import DownloadError, download


class ModelFileError(RuntimeError):
    """A weight file is neither here nor to be had; the message says what to do."""


@dataclass(frozen=True)
class ModelFile:
    """A file that others published."""

    name: str
    """File name in the cache and in a mirror."""
    url: str
    licence: str
    """As its source states it."""
    purpose: str
    """What needs it."""
    without: str
    """What still works without it."""
    size: int | None = None
    """Bytes; None where nobody has published it."""
    sha256: str | None = None
    """None: the first one seen is trusted and recorded."""
    min_size: int = 1
    """Least bytes that can be right, where `size` is not known."""


REGISTRY = {file.name: file for file in (
    ModelFile(
        "syncnet_v2.model",
        "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
        "code MIT (joonson/syncnet_python); none stated for the weights",
        "SyncNet's offset, LSE-D and LSE-C",
        "offsets by the linear synchrony model that is part of yld",
        # float32 of 13 631 616 parameters and 8640 running means and variances.
        min_size=4 * (13_631_616 + 8640),
    ),
    ModelFile(
        "light_asd_ava.model",
        "https://raw.githubusercontent.com/Junhua-Liao/Light-ASD/HEAD/weight/"
        "pretrain_AVA_CVPR.model",
        "MIT", "Light-ASD's speaking score, trained on AVA-ActiveSpeaker",
        "speaker choice by the synchrony model's peak",
        4_175_289, "d44bc3ea7baa8e0946fa3921311714a630ed8b90a1928fab0dbe30d918909317",
    ),
    ModelFile(
        "light_asd_talkset.model",
        "https://raw.githubusercontent.com/Junhua-Liao/Light-ASD/HEAD/weight/"
        "finetuning_TalkSet.model",
        "MIT", "Light-ASD's speaking score, fine-tuned on TalkSet",
        "speaker choice by the synchrony model's peak",
        4_175_289, "efc375833887eefa9d209dc92810e18519b04c3c73ea35a549f2a7f40b7d94d5",
    ),
)}


def cache_folder() -> Path:
    """YLD_MODEL_DIR, else ~/.cache/yld/models; it need not exist."""
    return Path(os.environ.get("YLD_MODEL_DIR") or Path.home() / ".cache" / "yld" / "models")


def mirror_folder() -> Path | None:
    """YLD_MODEL_MIRROR, a folder with files of the registry's names; None if not set."""
    value = os.environ.get("YLD_MODEL_MIRROR")
    return Path(value) if value else None


def fetch(file: ModelFile | str, may_download: bool = True) -> Path:
    """A checked copy of `file` (an entry or its name) in the cache folder.

    Raises KeyError for a name that is not in the registry, ModelFileError where the file
    cannot be had; `may_download` False leaves the network alone.
    """
    file = REGISTRY[file] if isinstance(file, str) else file
    folder = cache_folder()
    path = folder / file.name
    if _known_sha256(file, folder) is not None and _fault(path, file, folder) is None:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{file.name}.lock"):
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
        return _downloaded(file, folder, notes)


def _downloaded(file: ModelFile, folder: Path, notes: list[str]) -> Path:
    part = folder / f".{file.name}.part"
    for attempt in range(2):
        try:
            download(file.url, part, file.size)
        except DownloadError as error:
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
    seen_before = "" if file.sha256 else (
        f", the one first seen (to trust the new one, delete {_record_path(file, folder)})")
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
        facts = {"name": file.name, "url": file.url, "size": path.stat().st_size,
                 "sha256": sha256_of(path), "trusted": "on first use",
                 "recorded_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        write_atomic(_record_path(file, folder), json.dumps(facts, indent=1) + "\n")


def _unavailable(file: ModelFile, folder: Path, notes: list[str]) -> ModelFileError:
    return ModelFileError(
        f"{file.name} is not here and could not be fetched from {file.url}: "
        f"{'; '.join(notes)}. Put the file into {folder}, or name a folder that holds it in "
        f"YLD_MODEL_MIRROR. It is needed for {file.purpose}; without it there are still "
        f"{file.without}."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The system's lock: it goes when its holder dies, however that dies."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
