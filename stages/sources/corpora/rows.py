"""What an adapter makes of a corpus: rows, one for each clip, span or picture that it names, and
what it has to say of the layout.

A `Row` is a source and what is known of it. Rows of one address become one request with a hint for
each (`as_requests`), so that a video with many spans is fetched and read once.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from manifests import walk
from manifests.ids import hash_id
from manifests.links import hint_id
from manifests.paths import as_path, as_text
from manifests.records import Hint, Request

Kind = Literal["file", "link", "member", "image"]
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
MEMBER = "::"
"""Between a tar and what lies in it, in an address."""
MOST_NAMED = 5
"""Names that a message gives."""
BAD_SHOWN = 3
"""Bad lines of a list that a message shows."""
MOST_LETTERS = 100
"""Of such a line."""


class CorpusError(ValueError):
    """A place that is not laid out as its corpus is; says what was expected and what was found."""


@dataclass(frozen=True)
class Row:
    """One clip, span or picture. Fields are those of `manifests.records.Hint` by name; `address` is
    an absolute path, a link, or `{tar}::{member}`."""

    address: str
    kind: Kind
    name: str
    speaker: str | None = None
    split: str | None = None
    text: str | None = None
    text_start_s: float | None = None
    text_end_s: float | None = None
    transcript_path: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    every_s: float | None = None
    point_x: float | None = None
    point_y: float | None = None
    box_times_s: tuple[float, ...] = ()
    boxes: tuple[float, ...] = ()
    box_height_px: int | None = None
    missing: str | None = None
    """Why there is nothing at `address`; a build tells and passes it, an audit has a row for it."""
    lies_at: Path | None = None
    """A file as it was found, before links were followed."""


@dataclass
class Findings:
    """What was found in one place."""

    corpus: str
    place: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for a person: what is missing, odd, or was mended."""
    skip: Path | None = None
    """A folder for results: no download of a list lies in it."""
    others: list[Path] = field(default_factory=list)
    """Media files that lie there and are none of the corpus's."""


Reader = Callable[[Path, Findings], None]


@dataclass(frozen=True)
class Corpus:
    """One line of the catalogue. `read` fills `Findings` from a place; raises CorpusError."""

    name: str
    title: str
    paper: str
    needs: str
    """What `PATH` of `name:PATH` is, in words."""
    licence: str
    hours: str
    wanted_by: str
    """Models of the papers, and trainers outside, that are fed with it."""
    read: Reader
    fits: Callable[[Path], str | None] = lambda path: None
    """The speaker if an absolute media path lies as in this corpus, empty where that tells none;
    None if it does not lie so."""
    media_licence: str | None = None
    """Of what its owners distribute, by the Hugging Face Hub's identifier; `other` where it has
    none. None where each video has terms of its own."""
    makes: str = "videos"
    """videos | images"""


def as_requests(findings: Findings) -> tuple[list[Request], list[Hint]]:
    """Requests in the order of rows, each address once, and the hints on them. Rows that are
    missing, and images, which no build reads, are left out."""
    requests: dict[str, Request] = {}
    hints: dict[str, Hint] = {}
    for row in findings.rows:
        if row.missing is not None or row.kind == "image":
            continue
        request = requests.get(row.address) or Request(
            f"r{hash_id(row.kind, row.address)}", row.address, row.kind, findings.place
        )
        requests.setdefault(row.address, request)
        hint = _hint(row, request, findings.corpus)
        if hint is not None:
            hints.setdefault(hint.hint_id, hint)
    return list(requests.values()), list(hints.values())


def _hint(row: Row, request: Request, corpus: str) -> Hint | None:
    """What the row says beside its address; None where it says nothing."""
    own = {f.name for f in dataclasses.fields(Row)}
    said = {f.name: getattr(row, f.name) for f in dataclasses.fields(Hint) if f.name in own}
    said |= {k: list(v) for k, v in said.items() if isinstance(v, tuple)}
    if not any(value not in (None, []) for name, value in said.items() if name != "name"):
        return None
    name = hint_id(request.request_id, corpus, row.name)
    return Hint(name, request.request_id, corpus, **said)


def media_of(place: Path, findings: Findings) -> list[Path]:
    """Media files below a folder, or the file itself; what is passed over is told.

    Raises CorpusError where there are none.
    """
    if place.is_file():
        return [place]
    found = walk.find_media(place)
    findings.notes += found.notes
    if not found.files:
        raise CorpusError(
            f"{as_text(place)} holds no media file: expected {findings.corpus} "
            f"(`yld corpora {findings.corpus}` says how it is laid out), found "
            f"{_listing(place)}"
        )
    return found.files


def those_that_fit(
    place: Path, findings: Findings, fits: Callable[[Path], object | None], expected: str
) -> list[Path]:
    """The media files that lie as they should; the others go to `others` and are told.

    Raises CorpusError where none does, with what was `expected` and what was found.
    """
    files = media_of(place, findings)
    fitting = [path for path in files if fits(path.absolute()) is not None]
    findings.others += sorted(set(files) - set(fitting))
    if not fitting:
        raise CorpusError(
            f"{as_text(place)} is not laid out as {findings.corpus}: expected files like "
            f"{expected}; found {named(files, place)}"
        )
    if findings.others:
        findings.notes.append(
            f"{len(findings.others)} of {len(files)} media files do not lie as {expected} and are "
            f"left out: {named(findings.others, place)}"
        )
    return fitting


def named(paths: Sequence[Path], root: Path) -> str:
    """The first few of some paths, below `root`, and how many more."""
    shown = [as_text(p.relative_to(root)) if p.is_relative_to(root) else as_text(p) for p in paths]
    return in_words(shown)


def in_words(names: Iterable[str]) -> str:
    """The first few names, and how many more."""
    names = list(names)
    more = len(names) - MOST_NAMED
    return ", ".join([*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _listing(folder: Path) -> str:
    try:
        names = sorted(as_text(p.name) + "/" * p.is_dir() for p in folder.iterdir())
    except OSError as error:
        return f"that it cannot be read ({error.strerror})"
    return in_words(names) or "nothing"


def file_row(path: Path, name: str, **known) -> Row:
    """A row for a file."""
    return Row(as_text(path.resolve()), "file", name, lies_at=path, **known)


def youtube_link(video: str) -> str:
    """The one way in which a video of that id is written, so that lists meet. Raises CorpusError
    for what is no such id: it would go into an address."""
    if not YOUTUBE_ID.fullmatch(video):
        raise CorpusError(f"{video!r} is no YouTube id (11 letters, digits, - or _)")
    return f"https://www.youtube.com/watch?v={video}"


def id_of_link(link: str) -> str | None:
    """The YouTube id in a link, whichever form it has; None for links to other places."""
    found = re.search(
        r"^https?://(?:(?:www\.|m\.)?youtube\.com/(?:watch\?(?:[^#]*&)?v=|embed/|shorts/)|youtu\.be/)"
        r"([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])",
        link,
    )
    return None if found is None else found[1]


def downloads_beside(listing: Path, findings: Findings) -> dict[str, list[Path]]:
    """Media files in a list's own folder by their stems and by all that a `_` in one ends: ids hold
    `_` themselves. Folders in it are not entered: a list may lie in a home or a downloads folder.
    """
    by: dict[str, list[Path]] = defaultdict(list)
    for path in walk.find_media(listing.parent, tree=walk.files_in(listing.parent)).files:
        if findings.skip is not None and findings.skip.resolve() in path.resolve().parents:
            continue
        for end in (len(path.stem), *(m.start() for m in re.finditer("_", path.stem))):
            by[path.stem[:end]].append(path)
    return by


def judge_lines(
    listing: Path, bad: Sequence[str], num_good: int, expected: str, findings: Findings
) -> None:
    """Tell of the `bad` lines of a list, each as `line 3: what it is`, which are left out.

    Raises CorpusError where there is no good line, or more bad ones: then it is another list.
    """
    if not num_good and not bad:
        raise CorpusError(f"{as_text(listing)} holds no line: expected {expected}")
    if not bad:
        return
    more = len(bad) - BAD_SHOWN
    shown = [*map(short, bad[:BAD_SHOWN]), *([f"and {more} more"] if more > 0 else [])]
    said = (
        f"{len(bad)} of {len(bad) + num_good} lines of {as_text(listing)} are not {expected}: "
        f"{'; '.join(shown)}"
    )
    if len(bad) > num_good:
        raise CorpusError(f"{said}. Is it a list of {findings.corpus}? Mend it, or name another")
    findings.notes.append(f"{said}. They are left out")


def short(line: str) -> str:
    """What a message shows of a line, which may be a whole file."""
    return line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]}..."


def place_of(text: str) -> Path:
    """A place as typed; as a path that opens."""
    return as_path(text).expanduser()
