"""What there is to audit: clips in a folder, in a published corpus's layout, a list, or shards.

Corpora are read by their adapters (`stages.sources.corpora.catalogue`), as `yld build` reads them;
an audit has an item for media files that lie otherwise too, and recognises the corpus by where most
of its files lie. Two more are its own, for they are measured where they stand:

| layout | recognised by | speaker |
| --- | --- | --- |
| yld | a corpus of ours (`manifests`, `shards`) | of the manifest |
| shards | `*.tar` with `face.mp4`, `landmarks.npy`, `audio.flac` | of the sample |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests import walk
from manifests.ids import hash_id
from manifests.paths import as_text
from manifests.records import Hint, Request
from stages.sources.corpora import catalogue
from stages.sources.corpora.plain import FOLDER
from stages.sources.corpora.rows import Corpus, CorpusError, Findings, Row, as_requests

OWN = ("yld", "shards")
LAYOUTS = (
    *(c.name for c in catalogue.CORPORA.values() if c.makes == "videos" and c.name != "webdataset"),
    *OWN,
)

LISTS = tuple(
    name
    for name in LAYOUTS
    if name not in OWN and name != FOLDER.name and catalogue.CORPORA[name] not in catalogue.BY_MEDIA
)
"""Layouts that are a list of videos, with downloads beside it."""


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
    row: Row | None = None
    """What a list says of it."""


def find(path: Path, layout: str | None = None, skip: Path | None = None) -> tuple[str, list[Item]]:
    """The layout of `path` and what is in it, in a fixed order. Raises LayoutError.

    `skip` is a folder for results: it may lie beside a list, and holds none of its downloads.
    """
    if layout is not None and layout not in LAYOUTS:
        raise LayoutError(f"no layout is named {layout!r}; there are: {', '.join(LAYOUTS)}")
    if not path.exists():
        raise LayoutError(f"{path} does not exist")
    layout = layout or recognise(path)
    if layout in OWN:
        return layout, _shards(path, layout)
    corpus = catalogue.CORPORA[layout]
    if layout not in LISTS:
        return layout, _files(path, corpus)
    try:
        findings = catalogue.read(corpus, as_text(path), skip)
    except CorpusError as error:
        raise LayoutError(str(error)) from None
    walk.tell(findings.notes)
    return layout, [_item(row, path) for row in findings.rows]


def requests_of(items: Sequence[Item]) -> tuple[list[Request], list[Hint]]:
    """What an audit asks the stages to look at, and where: each file once, and the hints of lists.

    Media that lie as a corpus has them are measured whole.
    """
    requests: dict[str, Request] = {}
    for item in items:
        if not item.missing:
            request_id = f"r{hash_id('file', item.path)}"
            requests.setdefault(item.path, Request(request_id, item.path, "file", item.path))
    listed = Findings("list", "", [i.row for i in items if i.row is not None and not i.missing])
    return list(requests.values()), as_requests(listed)[1]


def _item(row: Row, listing: Path) -> Item:
    """A row of a list as an item; one that is a link is missing, for an audit fetches nothing."""
    missing = row.missing
    if row.lies_at is None:
        missing = missing or f"no download of {row.name} lies beside {as_text(listing.name)}"
        return Item(
            as_text(listing), row.name, row.speaker, "file", row.start_s, row.end_s, missing
        )
    root = listing.parent if listing.is_file() else listing
    return Item(
        row.address,
        row.name,
        row.speaker,
        "file",
        row.start_s,
        row.end_s,
        inside=_inside(row.lies_at, root),
        row=row,
    )


def _files(path: Path, corpus: Corpus) -> list[Item]:
    files = [path] if path.is_file() else _media(path, aloud=True)
    if not files:
        raise LayoutError(
            f"{as_text(path)} holds no media file, shard or list that could be audited"
        )
    root = root_of(path, corpus.name)
    names = Counter(p.stem for p in files)
    return [
        Item(
            as_text(p.resolve()),
            as_text(p.stem) if names[p.stem] == 1 else _long_name(p, root),
            corpus.fits(p.resolve()) or None,
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
    return catalogue.by_media([] if path.is_file() else _media(path)).name


def _tars(folder: Path) -> list[Path]:
    return [p for p in walk.walk(folder).files if p.suffix == ".tar"]


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
