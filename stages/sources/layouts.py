"""What there is to audit: clips in a folder, in a published corpus's layout, a list, or shards.

| layout | recognised by | speaker |
| --- | --- | --- |
| grid | `.../s12/bbaf2n.mpg` | the folder |
| tcd_timit | `.../volunteers/01M/...`, `.../lipspeakers/Lipspkr1/...` | that folder |
| lrw | `WORD/train/WORD_00001.mp4` | not known |
| lip2wav | `Dataset/chem/...` | the folder after `Dataset` |
| voxceleb | `id10270/<video>/00001.mp4` | the first folder |
| avspeech | a CSV of `id,start,end,x,y` and downloads named by id | not known |
| yld | a corpus of ours (`manifests`, `shards`) | of the manifest |
| shards | `*.tar` with `face.mp4`, `landmarks.npy`, `audio.flac` | of the sample |
| folder | any other media | the folder the file lies in |
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests import walk
from manifests.paths import as_text
from manifests.plain_words import read_text

LAYOUTS = ("grid", "tcd_timit", "lrw", "lip2wav", "voxceleb", "avspeech", "yld", "shards", "folder")


class LayoutError(ValueError):
    """PATH is nothing that can be audited; the message says what was looked for."""


@dataclass(frozen=True)
class Item:
    """One clip to audit, or one shard of them. `missing` says why there is no file."""

    path: str
    clip_id: str
    speaker: str | None
    kind: str
    """`file` or `shard`."""
    start_s: float | None = None
    end_s: float | None = None
    missing: str | None = None
    inside: str | None = None
    """Path below what is audited, as it was found there; null for what is missing."""


def find(path: Path, layout: str | None = None, skip: Path | None = None) -> tuple[str, list[Item]]:
    """The layout of `path` and what is in it, in a fixed order. Raises LayoutError.

    `skip` is a folder for results: it may lie beside a list, and holds none of its downloads.
    """
    if layout is not None and layout not in LAYOUTS:
        raise LayoutError(f"no layout is named {layout!r}; there are: {', '.join(LAYOUTS)}")
    if not path.exists():
        raise LayoutError(f"{path} does not exist")
    layout = layout or recognise(path)
    if layout == "avspeech":
        return layout, _listed(path, skip)
    if layout in ("yld", "shards"):
        return layout, _shards(path, layout)
    files = [path] if path.is_file() else _media(path, aloud=True)
    if not files:
        raise LayoutError(
            f"{as_text(path)} holds no media file, shard or list that could be audited"
        )
    root = root_of(path, layout)
    names = Counter(p.stem for p in files)
    return layout, [
        Item(
            as_text(p.resolve()),
            as_text(p.stem) if names[p.stem] == 1 else _long_name(p, root),
            speaker_of(p, layout),
            "file",
            inside=_inside(p, root),
        )
        for p in files
    ]


def _media(folder: Path, aloud: bool = False) -> list[Path]:
    """Media files below a folder; what is passed over is told once, `aloud`."""
    found = walk.find_media(folder)
    if aloud:
        walk.tell(found.lines())
    return found.files


def _long_name(path: Path, root: Path) -> str:
    """Where stems meet again (GRID says the same sentence twice), the folders tell them apart."""
    return as_text("/".join(path.relative_to(root).with_suffix("").parts) + path.suffix)


def recognise(path: Path) -> str:
    """The layout that most files fit, else `folder`."""
    if path.suffix.lower() == ".csv":
        return "avspeech"
    if path.suffix.lower() == ".tar":
        return "shards"
    if path.is_dir() and (path / "shards").is_dir() and (path / "manifests").is_dir():
        return "yld"
    if path.is_dir() and _tars(path):
        return "shards"
    files = [] if path.is_file() else _media(path)
    for layout in ("grid", "tcd_timit", "lrw", "lip2wav", "voxceleb"):
        fits = sum(_fits(p.resolve(), layout) is not None for p in files)
        if files and fits > len(files) / 2:
            return layout
    return "folder"


def _tars(folder: Path) -> list[Path]:
    return [p for p in walk.walk(folder).files if p.suffix == ".tar"]


def _fits(path: Path, layout: str) -> re.Match | None:
    text = path.as_posix()
    patterns = {
        "grid": r"/(?P<speaker>(?:[\w-]*_)?s\d{1,2})/(?:video/)?"
        r"[blps][bgrw][abiw][a-z][0-9z][anps]\.(?:mpg|mpeg|mp4|avi|mov)$",
        "tcd_timit": r"/(?P<speaker>\d{2}[MF]|[Ll]ipspkr\d)/",
        "lrw": r"/(?P<word>[A-Z]+)/(?:train|val|test)/(?P=word)_\d+\.mp4$",
        "lip2wav": r"/(?:Dataset|lip2wav|Lip2Wav)/(?P<speaker>[^/]+)/",
        "voxceleb": r"/(?P<speaker>id\d{5})/[^/]+/[^/]+$",
    }
    return re.search(patterns[layout], text)


def speaker_of(path: Path, layout: str) -> str | None:
    """Who is seen, by where the file lies; None where the layout does not tell."""
    if layout == "folder":
        return as_text(path.resolve().parent.name)
    match = _fits(path.resolve(), layout)
    speaker = None if match is None else match.groupdict().get("speaker")
    return None if speaker is None else as_text(speaker)


def _shards(path: Path, layout: str) -> list[Item]:
    root = root_of(path, layout)
    tars = [path] if path.is_file() else _tars(root)
    if not tars:
        raise LayoutError(f"{as_text(path)} holds no shard (*.tar)")
    return [
        Item(as_text(t.resolve()), as_text(t.stem), None, "shard", inside=_inside(t, root))
        for t in tars
    ]


def _inside(path: Path, root: Path) -> str:
    return as_text(path.relative_to(root).as_posix())


def root_of(path: Path, layout: str) -> Path:
    """The folder that `Item.inside` counts from."""
    if path.is_file():
        return path.parent
    return path / "shards" if layout == "yld" and (path / "shards").is_dir() else path


def _listed(path: Path, skip: Path | None) -> list[Item]:
    """Rows `id,start,end,...` beside downloads whose names begin with the id."""
    try:
        table = csv.reader(io.StringIO(read_text(path), newline=""))
        rows = [r for r in table if r and not r[0].startswith("#")]
    except csv.Error as error:
        raise LayoutError(f"{path} is no list of id,start,end: {error}") from None
    files = [
        p
        for p in _media(path.parent, aloud=True)
        if skip is None or skip.resolve() not in p.resolve().parents
    ]
    items = []
    for number, row in enumerate(rows, 1):
        try:
            start_s, end_s = float(row[1]), float(row[2])
            if not 0 <= start_s < end_s < math.inf:  # NaN is neither
                raise ValueError
        except (IndexError, ValueError):
            if number == 1:
                continue  # a header
            raise LayoutError(f"{path}, line {number}: {row!r} is not id,start,end") from None
        name = f"{row[0]}_{row[1]}"
        found = _download(files, row[0], start_s)
        if found is None:
            items.append(
                Item(
                    as_text(path),
                    name,
                    None,
                    "file",
                    start_s,
                    end_s,
                    f"no download of {row[0]} lies beside {path.name}",
                )
            )
            continue
        is_cut = found.stem != row[0]
        items.append(
            Item(
                as_text(found.resolve()),
                name,
                None,
                "file",
                None if is_cut else start_s,
                None if is_cut else end_s,
                inside=_inside(found, path.parent),
            )
        )
    return items


def _download(files: Sequence[Path], name: str, start_s: float) -> Path | None:
    """`<id>_<start>.mp4` (already cut) before `<id>.mp4` (the whole video)."""
    cut = [
        f
        for f in files
        if f.stem.startswith(f"{name}_")
        and _number(f.stem[len(name) + 1 :].split("_")[0]) == start_s
    ]
    whole = [f for f in files if f.stem == name]
    return next(iter(cut or whole), None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
