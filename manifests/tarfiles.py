"""Tar files with the same bytes every time: no dates, no owners, members in a fixed order."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import BinaryIO

MEMBERS = ("face.mp4", "audio.flac", "landmarks.npy", "json")


def write_tar(stream: BinaryIO, samples: Iterable[tuple[str, dict[str, bytes]]]) -> None:
    """Write `(key, {suffix: bytes})` samples; a sample's members stand together."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            for suffix in (*(m for m in MEMBERS if m in members),
                           *sorted(set(members) - set(MEMBERS))):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size, info.mode = len(members[suffix]), 0o644
                tar.addfile(info, io.BytesIO(members[suffix]))


def read_tar(path) -> dict[str, dict[str, bytes]]:
    """Samples of a tar file by key, in order."""
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    return samples
