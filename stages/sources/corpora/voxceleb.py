"""VoxCeleb1 and 2 (Nagrani, Chung, Zisserman 2017; Chung et al. 2018).

Track files `txt/id00012/21Uxsk56VDQ/00001.txt` give identity, video (`Reference`) and, at 25 frames
per second of that video, a box for each frame; clips `mp4/id00012/21Uxsk56VDQ/00001.mp4` are cut
already. A clip that is there is taken, else its video is a link and the track a span with boxes.

VoxCeleb2's boxes are shares of the picture (`0.377 0.151 0.228 0.405`), VoxCeleb1's pixels of a
picture 360 high (AliaksandrSiarohin/video-preprocessing, crop_vox.py, reads both so:
REF_FRAME_SIZE, REF_FPS). Parts: VoxCeleb1's identities id10270 to id10309 are test (its
verification split), its `iden_split.txt` counts where it lies there; of VoxCeleb2 the 118
identities that the same code lists are test, and all below a folder `test`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from manifests import walk
from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import (
    Corpus,
    CorpusError,
    Findings,
    Row,
    file_row,
    in_words,
    named,
    youtube_link,
)

EXPECTED = "id00012/21Uxsk56VDQ/00001.txt (tracks) or .mp4 (clips)"
LAID_OUT = re.compile(r"/(?P<speaker>id\d{5})/(?P<video>[^/]+)/(?P<clip>[^/]+)$")
TRACK_RATE = 25.0
"""Of frame numbers in track files (the corpus's page)."""
KEPT_PER_S = 1.0
"""Boxes kept: a face between two of them is interpolated."""
BOX_HEIGHT_PX = 360
"""Of the pictures that VoxCeleb1's pixels are counted in."""
TEST_OF_1 = range(10270, 10310)
TEST_OF_2 = frozenset(
    int(number) for number in Path(__file__).with_name("voxceleb2_test.txt").read_text().split()
)
OF_1 = range(10001, 11252)
IDEN_PARTS = {"1": "train", "2": "val", "3": "test"}
ROW = re.compile(r"(\d+)((?:\s+-?\d+(?:\.\d+)?){4})\s*")


def fits(path: Path) -> str | None:
    """The identity."""
    found = LAID_OUT.search(path.as_posix())
    return None if found is None else found["speaker"]


def read(place: Path, findings: Findings) -> None:
    """Rows of clips and of tracks whose clip is not there. Raises CorpusError."""
    tree = walk.walk(place) if place.is_dir() else walk.Tree(place.parent, [place])
    media = {_key(p): p for p in walk.find_media(tree.root, tree=tree).files if fits(p.absolute())}
    tracks = {_key(p): p for p in tree.files if p.suffix.lower() == ".txt" and fits(p.absolute())}
    if not media and not tracks:
        raise CorpusError(
            f"{as_text(place)} is not laid out as voxceleb: expected {EXPECTED}; found "
            f"{named(tree.files, place) or 'nothing'}"
        )
    listed = _iden_split(tree.files)
    bad = []
    for key in sorted({*media, *tracks}):
        path = media.get(key) or tracks[key]
        known: dict[str, Any] = {
            "speaker": key.split("/")[0],
            "split": listed.get(key) or _part(path, key),
        }
        if key in media:  # cut to its track already, and the face is all that it shows
            findings.rows.append(file_row(media[key], key, **known))
            continue
        try:
            findings.rows.append(_of_track(tracks[key], key, known))
        except (ValueError, OSError) as error:
            bad.append(f"{key}: {error}")
    if bad:
        findings.notes.append(f"{len(bad)} track files cannot be read: {in_words(bad)}")


def _key(path: Path) -> str:
    return "/".join([*path.parts[-3:-1], path.stem])


def _iden_split(files: list[Path]) -> dict[str, str]:
    """`iden_split.txt`: `1 id10003/na8-QEFmj44/00003.wav`; empty where it is not there."""
    path = next((p for p in files if p.name == "iden_split.txt"), None)
    lines = [] if path is None else read_text(path).splitlines()
    pairs = (line.split() for line in lines)
    return {
        p[1].rpartition(".")[0]: IDEN_PARTS[p[0]]
        for p in pairs
        if len(p) == 2 and p[0] in IDEN_PARTS
    }


def _part(path: Path, key: str) -> str:
    number = int(key[2:7])
    if number in OF_1:
        return "test" if number in TEST_OF_1 else "train"
    above = {part.lower() for part in path.absolute().parts[:-3]}
    return "test" if number in TEST_OF_2 or above & {"test", "vox2_test"} else "train"


def _of_track(path: Path, key: str, known: dict) -> Row:
    """A track as a span of its video, with a box a second. Raises ValueError."""
    text = read_text(path)
    head = re.search(r"^Reference\s*:\s*(\S+)", text, re.MULTILINE)
    rows = [m for line in text.splitlines() if (m := ROW.fullmatch(line.strip() + " "))]
    if head is None or not rows:
        raise ValueError("it has no `Reference :` or no line `FRAME X Y W H`")
    frames = [int(m[1]) for m in rows]
    values = [[float(v) for v in m[2].split()] for m in rows]
    if not all(math.isfinite(v) for box in values for v in box):
        raise ValueError("a box of numbers that are none")
    are_pixels = max(max(v) for v in values) > 2.0
    step = max(1, round(TRACK_RATE / KEPT_PER_S))
    chosen = list(dict.fromkeys([*range(0, len(rows), step), len(rows) - 1]))
    boxes = [(x, y, x + w, y + h) for x, y, w, h in (values[i] for i in chosen)]
    return Row(
        youtube_link(head[1]),
        "link",
        key,
        start_s=frames[0] / TRACK_RATE,
        end_s=(frames[-1] + 1) / TRACK_RATE,
        box_times_s=tuple(frames[i] / TRACK_RATE for i in chosen),
        boxes=tuple(v for box in boxes for v in box),
        box_height_px=BOX_HEIGHT_PX if are_pixels else None,
        **known,
    )


VOXCELEB = Corpus(
    "voxceleb",
    "VoxCeleb1 and VoxCeleb2",
    "Nagrani et al. 2017, Chung et al. 2018; robots.ox.ac.uk/~vgg/data/voxceleb",
    "a folder with txt/id00012/... (tracks: videos are fetched) or mp4/id00012/... (clips)",
    "CC BY 4.0 for the lists; each video has its own terms on YouTube",
    "352 (VoxCeleb1), 2442 (VoxCeleb2)",
    "Speech2Vid, SyncNet, AV-HuBERT, LatentSync",
    read,
    fits,
)
