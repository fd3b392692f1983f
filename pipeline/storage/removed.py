"""What was taken out of a corpus and shall not come back: `work/removed.json`, without names.

Links, paths, ids and the bytes of media stand in it as salted SHA-256 (`yld remove`). So it can be
asked whether something is the same, and does not tell what it was; who has it and a list of
candidates can try them all, as the next build does. A face stands in it only where that was asked
for (`--remember-face`): then an embedding is kept, in clear, and faces as near are left out.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from manifests import ids
from manifests import records as rec
from manifests.files import write_atomic

NAME = "removed.json"
FORMAT = 1
DIGEST_CHARS = 40
KINDS = ("address", "video", "content", "speaker")
REASON = "removed"
DETAIL = "was taken out of this corpus with `yld remove`, and stays out"


class RemovedError(ValueError):
    """The record cannot be read: nobody knows what must stay out."""


@dataclass(frozen=True)
class Face:
    """Of a person who asked for it, or whose removal must hold for videos that nobody knows yet."""

    embedder: str
    embedding: list[float]
    distance: float
    """Embeddings as near are the person."""


@dataclass(frozen=True)
class Group:
    """Digests under one salt. A merged corpus has those of both it was made of."""

    salt: str
    digests: dict[str, set[str]] = field(default_factory=dict)
    """By kind, one of KINDS."""

    def digest(self, kind: str, value: str) -> str:
        """What stands for a value."""
        told = hashlib.sha256(f"{self.salt}\0{kind}\0{value}".encode("utf-8", "surrogatepass"))
        return told.hexdigest()[:DIGEST_CHARS]


@dataclass
class Removed:
    """What must stay out. Empty, it lets all pass."""

    groups: list[Group] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    """When something was removed, how much of what kind."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.faces)

    def has(self, kind: str, value: str | None) -> bool:
        """Whether this address, video, content (SHA-256) or speaker was removed."""
        return value is not None and any(
            group.digest(kind, value) in group.digests.get(kind, ()) for group in self.groups
        )

    def add(self, kind: str, values: Iterable[str]) -> None:
        """Keep `values` out from now on."""
        if not self.groups:
            self.groups.append(Group(secrets.token_hex(16)))
        group = self.groups[0]
        group.digests.setdefault(kind, set()).update(group.digest(kind, v) for v in values)

    def holds(self, record: object) -> bool:
        """Whether a record that a stage puts out is something removed."""
        if isinstance(record, (rec.Request, rec.Source)) and self.has("address", record.address):
            return True
        if isinstance(record, rec.Source):
            name = ids.video_id(record.extractor, record.site_id, "")
            return name != ids.video_id(None, None, "") and self.has("video", name)
        if isinstance(record, rec.Fetched):
            return (
                self.has("video", record.video_id)
                or self.has("content", record.sha256)
                or self.has("address", record.address)
            )
        return isinstance(record, rec.Identity) and self.is_face(record.embedder, record.embedding)

    def is_face(self, embedder: str, embedding: Sequence[float]) -> bool:
        """Whether an embedding is of somebody whose face is remembered."""
        vector = np.asarray(embedding, np.float64)
        return any(
            face.embedder == embedder
            and float(np.linalg.norm(vector - np.asarray(face.embedding))) <= face.distance
            for face in self.faces
        )

    def write(self, work: Path) -> None:
        """To `work/removed.json`."""
        write_atomic(work / NAME, self.as_text())

    def as_text(self) -> str:
        """What stands in the file."""
        groups = [
            {"salt": g.salt, "digests": {k: sorted(g.digests[k]) for k in sorted(g.digests)}}
            for g in self.groups
        ]
        faces = [asdict(face) for face in self.faces]
        told = {"format": FORMAT, "groups": groups, "faces": faces, "times": self.times}
        return json.dumps(told, indent=1) + "\n"


def read(work: Path) -> Removed:
    """The record below `work`; empty where there is none. Raises RemovedError naming it."""
    path = work / NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}")
        return Removed(
            [
                Group(str(g["salt"]), {str(k): set(map(str, v)) for k, v in g["digests"].items()})
                for g in told["groups"]
            ],
            [Face(str(f["embedder"]), list(f["embedding"]), f["distance"]) for f in told["faces"]],
            list(told["times"]),
        )
    except FileNotFoundError:
        return Removed()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RemovedError(
            f"{path} cannot be read ({type(error).__name__}), so nobody knows what must stay out "
            "of this corpus; put it back from a copy"
        ) from None


def together(first: Removed, second: Removed) -> Removed:
    """What either keeps out."""
    groups = {g.salt: g for g in first.groups}
    for group in second.groups:
        mine = groups.setdefault(group.salt, Group(group.salt))
        for kind, digests in group.digests.items():
            mine.digests.setdefault(kind, set()).update(digests)
    faces = [*first.faces, *(f for f in second.faces if f not in first.faces)]
    times = [*first.times, *(t for t in second.times if t not in first.times)]
    return Removed(list(groups.values()), faces, times)
