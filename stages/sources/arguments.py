"""From command-line arguments to requests: links, lists of links, media files, folders, corpora.

Paths stand in requests as text (`manifests.paths`); which files of a folder are media is one rule
for the whole project (`manifests.walk`).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, urlsplit

from manifests import walk
from manifests.ids import hash_id
from manifests.paths import as_text
from manifests.plain_words import SAYINGS
from manifests.records import Hint, Request
from stages.sources.corpora import catalogue
from stages.sources.corpora.rows import CorpusError, as_requests

LIST_SUFFIXES = frozenset({".txt", ".list", ".urls"})
MOST_TOLD = 20
"""Bad lines that an error shows."""
MOST_LOOKED_AT = 200
"""Files of a folder that tell whether it is a published corpus."""


SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class BadSourceError(ValueError):
    """An argument that is no source; the message names it and says what would be."""


def is_link(text: str) -> bool:
    """Whether `text` is an http(s) address."""
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket that is not closed
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def no_source(text: str) -> str:
    """What is said of a text that is neither link nor file."""
    scheme = SCHEME.match(text)
    if scheme is None:
        return (
            "is neither a link (https://...), a file, a folder nor a corpus (NAME:PATH, see "
            "`yld corpora`)"
        )
    if scheme[1].lower() in ("http", "https"):
        return "is a link that names no host, or is written wrongly"
    if scheme[1].lower() == "file":
        return "is a link of the scheme file; give the path alone"
    return (
        f"is a link of the scheme {scheme[1].lower()}, and those of http and https are taken; "
        "fetch the file and give its path"
    )


@dataclass(frozen=True)
class Given:
    """What the arguments come to."""

    requests: list[Request]
    """In a fixed order, each address once."""
    hints: list[Hint]
    """What corpora say of them."""

    def first(self, limit: int | None) -> Given:
        """The first so many requests, and the hints on them."""
        kept = self.requests[:limit]
        ids = {request.request_id for request in kept}
        return Given(kept, [hint for hint in self.hints if hint.request_id in ids])


def requests_from_arguments(arguments: Sequence[str]) -> list[Request]:
    """`given` without the hints."""
    return given(arguments).requests


def given(arguments: Sequence[str]) -> Given:
    """Requests of links, lists, files, folders and corpora (`grid:PATH`), and hints on them.

    Raises BadSourceError.
    """
    found: dict[str, Request] = {}
    hints: dict[str, Hint] = {}
    bad: list[str] = []
    for argument in arguments:
        requests, said = _expand_corpus(argument) or (_expand(argument, bad), [])
        for request in requests:
            found.setdefault(request.address, request)
        hints |= {hint.hint_id: hint for hint in said}
    if bad:
        more = len(bad) - MOST_TOLD
        raise BadSourceError(
            "\n  ".join(
                [
                    f"{len(bad)} line{'s' * (len(bad) > 1)} of the lists cannot be used; mend or "
                    "comment it out with #:",
                    *bad[:MOST_TOLD],
                    *([f"and {more} more"] if more > 0 else []),
                ]
            )
        )
    return Given(list(found.values()), list(hints.values()))


def _expand_corpus(argument: str) -> tuple[list[Request], list[Hint]] | None:
    """Requests and hints of `NAME:PLACE`; None where no corpus is named so, or a file is."""
    found = catalogue.named(argument)
    if found is None or Path(argument).exists():
        return None
    corpus, place = found
    try:
        findings = catalogue.read(corpus, place)
    except CorpusError as error:
        raise BadSourceError(str(error)) from None
    walk.tell(f"{findings.place}: {note}" for note in findings.notes)
    requests, hints = as_requests(findings)
    if not requests:
        raise BadSourceError(
            f"{as_text(argument)} gives {len(findings.rows)} pictures and no video: they are for "
            "training (`yld corpora` says of what), not for a build"
            if corpus.makes == "images"
            else f"{as_text(argument)} names nothing that is there"
        )
    return requests, hints


def _expand(argument: str, bad: list[str]) -> Iterable[Request]:
    if not argument.strip():  # Path("") would be the current folder
        raise BadSourceError(
            "one of the sources is empty (a shell variable that is not set?); "
            "give a link, a file or a folder, `.` for the current one"
        )
    if is_link(argument):
        link = _ascii_bytes(argument)
        return [_request(link, "link", link)]
    path, shown = Path(argument), as_text(argument)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        why = SAYINGS.get(getattr(error, "errno", None) or 0, "is no name of a file")
        raise BadSourceError(f"{shown[:200]} is no source: it {why}") from None
    if is_folder:
        found = walk.find_media(path)
        walk.tell(found.lines())
        if not found.files:
            raise BadSourceError(
                f"{shown} holds no media file (looked for "
                f"{', '.join(sorted(walk.VIDEO_SUFFIXES))}, and into files of other names)"
            )
        walk.tell(_known_as(found.files, shown))
        return [_file(p, argument) for p in found.files]
    if not is_file:
        raise BadSourceError(f"{shown} {no_source(argument)}")
    if path.suffix.lower() not in LIST_SUFFIXES and walk.is_media(path):
        return [_file(path, argument)]
    if path.suffix.lower() in LIST_SUFFIXES:
        return read_list(path, bad)
    raise BadSourceError(
        f"{shown} is not known as media; a list of links is a text file (.txt), one a line"
    )


def _known_as(files: Sequence[Path], shown: str) -> list[str]:
    """A word to who names a published corpus as a plain folder: what they would miss."""
    corpus = catalogue.by_media(files[:: max(1, len(files) // MOST_LOOKED_AT)])
    if corpus is catalogue.FOLDER:
        return []
    return [
        f"{shown} looks like {corpus.title}; {corpus.name}:{shown} would also bring its speakers, "
        "texts, parts and terms"
    ]


def read_list(path: Path, bad: list[str]) -> list[Request]:
    """Requests of a text file: one link or path a line; blank lines and `#` comments pass.

    A line is first looked for as a path as it stands, blanks, quotes, `#` and all, then without
    what follows its last ` #`, the one before and so on; so a comment is only what is no name.
    UTF-8, or UTF-16 with its mark; bytes that are neither are taken as a file system has them.
    Lines that are neither link nor file go to `bad`, so that all of them can be told at once.
    """
    requests, known_bad = [], len(bad)
    for number, line in enumerate(_lines(path), 1):
        found = next(filter(None, (_of_line(text, path, number) for text in readings(line))), None)
        text = line.strip()
        if found is not None:
            requests.append(found)
        elif text and not text.startswith("#"):
            cut = COMMENT.split(text)[0]
            what = (
                "holds a tab; a list has one link a line"
                if is_link(cut)
                else no_source(cut)
                if SCHEME.match(cut)
                else "is neither a link nor a file"
            )
            bad.append(f"{as_text(path)}, line {number}: '{as_text(cut)}' {what}")
    if not requests and len(bad) == known_bad:
        raise BadSourceError(f"{as_text(path)} holds no links")
    return requests


COMMENT = re.compile(r"\s#")


def readings(line: str) -> Iterator[str]:
    """What a line of a list may mean, in the order in which it is tried."""
    yield line
    text = line.strip()
    yield text
    ends = [m.start() for m in COMMENT.finditer(text)]
    for end in (len(text), *reversed(ends)):
        part = text[:end].rstrip()
        yield part
        if len(part) > 2 and part[0] == part[-1] and part[0] in "\"'":
            yield part[1:-1]


def _of_line(text: str, listing: Path, number: int) -> Request | None:
    """The request that one reading of a line stands for, or None."""
    if is_link(text):
        if text != text.strip() or "\t" in text or COMMENT.search(text):
            return None  # a shorter reading is the link
        return _request(_ascii_bytes(text), "link", as_text(listing), number)
    try:
        target = (listing.parent / text).resolve()
        if not text.strip() or not target.is_file():
            return None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a loop
        return None
    return _file(target, os.fspath(listing), number)


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = (
            content.decode("utf-16")
            if wide
            else content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        )
    except UnicodeDecodeError:
        raise BadSourceError(f"{as_text(path)} is no whole UTF-16 text file of links") from None
    if "\0" in text:
        raise BadSourceError(f"{as_text(path)} is not a text file of links")
    return re.split("\r\n|\n|\r", text)  # other separators may be part of a name


def _ascii_bytes(link: str) -> str:
    """A link whose bytes that are no UTF-8 are written %HH, as browsers do."""
    return re.sub(
        "[\ud800-\udfff]+",
        lambda odd: quote_from_bytes(odd[0].encode("utf-8", "surrogateescape")),
        link,
    )


def _file(path: Path, requested_as: str, line: int | None = None) -> Request:
    return _request(as_text(path.resolve()), "file", as_text(requested_as), line)


def _request(address: str, kind: str, requested_as: str, line: int | None = None) -> Request:
    return Request(f"r{hash_id(kind, address)}", address, kind, requested_as, line)
