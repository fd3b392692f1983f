"""Weight files that their makers publish only inside a zip archive."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from manifests.files import sha256_of
from manifests.weights.download import Tell, download
from manifests.weights.registry import Archive


class ArchiveError(RuntimeError):
    """The archive is not the published one, or lacks the member."""


def extract(url: str, archive: Archive, part: Path, target: Path, tell: Tell | None = None) -> None:
    """Download the zip at `url` to `part`, check it, write its member to `target`.

    `part` resumes over calls and is deleted once the member is out. Raises DownloadError, and
    ArchiveError where size or SHA-256 of the archive are not the published ones.
    """
    download(url, part, archive.size, tell)
    found = sha256_of(part)
    if found != archive.sha256:
        part.unlink()
        raise ArchiveError(f"what {url} gives has the SHA-256 {found} instead of {archive.sha256}")
    try:
        with (
            zipfile.ZipFile(part) as whole,
            whole.open(archive.member) as source,
            open(target, "wb") as output,
        ):
            shutil.copyfileobj(source, output, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        part.unlink()
        raise ArchiveError(f"{url} does not hold {archive.member}: {error}") from error
    part.unlink()
