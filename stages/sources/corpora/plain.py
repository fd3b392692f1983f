"""What is no published corpus: a plain folder of videos, and WebDataset shards of videos.

`folder`: the folder a file lies in is its speaker. `webdataset`: `*.tar` whose samples hold a video
(`000001.mp4`), and perhaps `000001.txt` with what is said and `000001.json` with `speaker`,
`split`, `text`, `start_s`, `end_s`; a part that is in the shard's name (`train-000000.tar`) counts
where the sample names none. Videos are read out of the tar when their turn comes.
"""

from __future__ import annotations

import json
import math
import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from manifests import walk
from manifests.paths import as_text
from stages.sources.corpora.rows import (
    MEMBER,
    Corpus,
    CorpusError,
    Findings,
    Row,
    file_row,
    in_words,
    media_of,
)

MAX_TEXT_BYTES = 1_000_000
PART_IN_NAME = re.compile(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|$)")


def fits_folder(path: Path) -> str | None:
    """The folder that a file lies in."""
    return as_text(path.parent.name)


def read_folder(place: Path, findings: Findings) -> None:
    """Rows of all media below a folder."""
    root = place if place.is_dir() else place.parent
    for path in media_of(place, findings):
        name = as_text(path.relative_to(root).with_suffix("").as_posix())
        findings.rows.append(file_row(path, name, speaker=fits_folder(path.absolute())))


def read_webdataset(place: Path, findings: Findings) -> None:
    """Rows of the videos in all shards. Raises CorpusError where there are none."""
    tars = [place] if place.is_file() else [p for p in walk.walk(place).files if p.suffix == ".tar"]
    bad: list[str] = []
    for tar in tars:
        try:
            _shard(tar, findings)
        except (tarfile.TarError, OSError, EOFError) as error:
            bad.append(f"{as_text(tar.name)} ({type(error).__name__})")
    if bad:
        findings.notes.append(f"{len(bad)} shards cannot be read: {in_words(bad)}")
    if not findings.rows:
        raise CorpusError(
            f"{as_text(place)} is not laid out as webdataset: expected *.tar with samples such as "
            f"000001.mp4 and 000001.json; found "
            + (f"{len(tars)} shards without a video" if tars else "no shards")
        )


def _shard(tar: Path, findings: Findings) -> None:
    """Members of one sample follow one another and share what stands before the first `.`."""
    found = PART_IN_NAME.search(tar.stem.lower())
    part = None if found is None else found[1]
    key: tuple[str, str] | None = None
    members: dict[str, Any] = {}
    with tarfile.open(tar) as archive:
        for member in archive:
            if not member.isfile():
                continue
            folder, _, name = member.name.rpartition("/")
            stem, _, suffix = name.partition(".")
            if (folder, stem) != key:
                _sample(tar, archive, members, part, findings)
                key, members = (folder, stem), {}
            members[f".{suffix.lower()}"] = member
        _sample(tar, archive, members, part, findings)


def _sample(tar: Path, archive, members: dict[str, Any], part, findings: Findings) -> None:
    videos = [m for s, m in members.items() if f".{s.rpartition('.')[2]}" in walk.VIDEO_SUFFIXES]
    if not videos:
        return
    facts = _json(archive, members.get(".json"))
    text = facts.get("text") or _text(archive, members.get(".txt"))
    split = facts.get("split")
    for video in videos:
        findings.rows.append(
            Row(
                f"{as_text(tar.resolve())}{MEMBER}{as_text(video.name)}",
                "member",
                as_text(PurePosixPath(video.name).with_suffix("").as_posix()),
                speaker=_word(facts.get("speaker") or facts.get("speaker_id")),
                split=split if split in ("train", "val", "test") else part,
                text=_word(text),
                **_span(facts),
            )
        )


def _span(facts: dict[str, Any]) -> dict[str, Any]:
    start, end = facts.get("start_s"), facts.get("end_s")
    if not (isinstance(start, (int, float)) and isinstance(end, (int, float))):
        return {}
    return {"start_s": start, "end_s": end} if 0 <= start < end < math.inf else {}


def _word(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _content(archive, member) -> bytes:
    if member is None or member.size > MAX_TEXT_BYTES:
        return b""
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _json(archive, member) -> dict[str, Any]:
    try:
        found = json.loads(_content(archive, member) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(archive, member) -> str | None:
    return _content(archive, member).decode("utf-8", "replace").strip() or None


FOLDER = Corpus(
    "folder",
    "a plain folder of videos",
    "none",
    "any folder",
    "yours",
    "as many as there are",
    "all",
    read_folder,
    fits_folder,
)
WEBDATASET = Corpus(
    "webdataset",
    "WebDataset shards of videos",
    "github.com/webdataset/webdataset",
    "a folder of *.tar, or one of them; samples of a video and perhaps .txt and .json",
    "of their makers",
    "as many as there are",
    "all",
    read_webdataset,
)
