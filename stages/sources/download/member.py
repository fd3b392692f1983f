"""A video that lies in a tar: copied out when its turn comes, as a link is fetched."""

from __future__ import annotations

import os
import re
import tarfile
from functools import lru_cache
from pathlib import Path

from manifests.files import atomic_path, sha256_of
from manifests.ids import video_id
from manifests.paths import as_path, as_text
from manifests.records import Fetched, Reject, Source
from stages.sources.corpora.rows import MEMBER

PIECE_BYTES = 1 << 20


def take(source: Source, media: Path, licence: str | None, consent: str | None) -> Fetched | Reject:
    """The member of `{tar}::{member}` as a file in `media`, named after its bytes.

    Nothing of its own name but a plain suffix becomes part of a path.
    """
    tar, _, name = source.address.rpartition(MEMBER)
    try:
        facts = os.stat(as_path(tar))
        span = _spans(tar, facts.st_mtime_ns, facts.st_size).get(name)
    except FileNotFoundError:
        return Reject("gone", detail=f"{tar} is no longer there")
    except (tarfile.TarError, EOFError) as error:
        return Reject("not_media", detail=f"{tar} cannot be read as a tar ({error})")
    if span is None:
        return Reject("gone", detail=f"{tar} holds no {name}")
    media.mkdir(parents=True, exist_ok=True)
    suffix = re.sub(r"[^A-Za-z0-9.]", "", Path(name).suffix)[:8]
    first_byte, num_bytes = span
    with atomic_path(media / f"{source.source_id}{suffix}") as temporary:
        with open(as_path(tar), "rb") as file, open(temporary, "wb") as out:
            file.seek(first_byte)
            _copy(file, out, num_bytes)
        digest = sha256_of(temporary)
    made = media / f"{source.source_id}{suffix}"
    target = media / f"{video_id(None, None, digest)}{suffix}"
    os.replace(made, target)
    return Fetched(
        source.source_id,
        video_id(None, None, digest),
        f"media/{target.name}",
        digest,
        num_bytes,
        source.address,
        "member",
        source.requested_as,
        title=as_text(Path(name).stem),
        licence=licence,
        consent=consent,
    )


@lru_cache(8)
def _spans(tar: str, changed_ns: int, num_bytes: int) -> dict[str, tuple[int, int]]:
    """First byte and size of each file in a tar, by name; its headers are read once."""
    with tarfile.open(as_path(tar), "r:") as archive:
        return {as_text(m.name): (m.offset_data, m.size) for m in archive if m.isfile()}


def _copy(file, out, num_bytes: int) -> None:
    left = num_bytes
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            raise EOFError("the tar ends within the member")
        out.write(piece)
        left -= len(piece)
