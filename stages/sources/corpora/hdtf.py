"""HDTF (Zhang et al. 2021): text files of three groups (RD, WDA, WRA) in one folder:

    RD_video_url.txt       Radio1 https://www.youtube.com/watch?v=...
    RD_annotion_time.txt   Radio11.mp4 00:30-01:00 01:30-02:30
    RD_crop_wh.txt         Radio11_0.mp4 412 599 0 599      (x, width, y, height)
    RD_resolution.txt      Radio11.mp4 720                  (the height these pixels belong to)

A crop is wider than the face; the face inside it is meant. `_crop_ratio.txt` (how far the owners
widened a window) is not needed for that. Read on the lists of commit bbde889 (October 2021), whose
README has the columns and the licence: 436 clips, 17.07 h, of 368 videos; one video has no span.
"""

from __future__ import annotations

import re
from pathlib import Path

from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import (
    Corpus,
    CorpusError,
    Findings,
    Row,
    id_of_link,
    in_words,
    youtube_link,
)

EXPECTED = "RD_video_url.txt and RD_annotion_time.txt (also WDA_, WRA_)"
SPAN = re.compile(r"(?:(\d+):)?(\d+):(\d{2}(?:\.\d+)?)-(?:(\d+):)?(\d+):(\d{2}(?:\.\d+)?)")


def read(place: Path, findings: Findings) -> None:
    """Rows of all groups whose lists are there. Raises CorpusError where none is."""
    folder = place if place.is_dir() else place.parent
    nested = folder / "HDTF_dataset"
    folder = nested if nested.is_dir() else folder
    groups = sorted(p.name.removesuffix("_video_url.txt") for p in folder.glob("*_video_url.txt"))
    if not groups:
        raise CorpusError(
            f"{as_text(place)} is not laid out as hdtf: expected {EXPECTED}; found "
            f"{in_words(sorted(as_text(p.name) for p in folder.iterdir())) or 'nothing'}"
        )
    missing: list[str] = []
    for group in groups:
        _group(folder, group, findings, missing)
    if missing:
        findings.notes.append(f"{len(missing)} videos have no span or no link: {in_words(missing)}")


def _group(folder: Path, group: str, findings: Findings, missing: list[str]) -> None:
    links, times, crops, heights = (
        _table(folder / f"{group}_{name}.txt")
        for name in ("video_url", "annotion_time", "crop_wh", "resolution")
    )
    for name, words in links.items():
        video, spans = id_of_link(words[0]), times.get(name, [])
        if video is None or not spans:
            missing.append(name)
            continue
        for number, text in enumerate(spans):
            found = SPAN.fullmatch(text)
            if found is None:
                missing.append(f"{name} ({text})")
                continue
            clip = f"{name}_{number}"
            box, height = _box(crops.get(clip), heights.get(name))
            findings.rows.append(
                Row(
                    youtube_link(video),
                    "link",
                    clip,
                    speaker=re.sub(r"\d+$", "", name) or name,
                    start_s=_seconds(*found.groups()[:3]),
                    end_s=_seconds(*found.groups()[3:]),
                    boxes=box,
                    box_height_px=height,
                )
            )


def _table(path: Path) -> dict[str, list[str]]:
    """Words of each line by its first, without `.mp4`; empty where there is no such file."""
    if not path.is_file():
        return {}
    lines = (line.split() for line in read_text(path).splitlines())
    return {w[0].removesuffix(".mp4"): w[1:] for w in lines if len(w) > 1}


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def _box(crop: list[str] | None, height: list[str] | None) -> tuple[tuple[float, ...], int | None]:
    """x0, y0, x1, y1 and the height of the picture; none where a list is silent."""
    if crop is None or height is None or len(crop) < 4:
        return (), None
    try:
        x, width, y, tall = (float(v) for v in crop[:4])
        return (x, y, x + width, y + tall), int(height[0])
    except ValueError:
        return (), None


HDTF = Corpus(
    "hdtf",
    "High-definition Talking Face",
    "Zhang et al. 2021; github.com/MRzzm/HDTF",
    "the folder HDTF_dataset with its lists",
    "CC BY 4.0 for the lists; each video has its own terms on YouTube",
    "17 (436 clips of 368 videos)",
    "LatentSync, SyncTalk and other trainers of talking heads",
    read,
)
