"""Which files of a folder are media: one rule for all that walk folders.

Folders that are links are entered once; a link that leads to a folder it lies in (a loop) or to one
that is read already is not, and said. A file is media by its suffix, or, where the suffix is none
that is known, by its first bytes. What lies in a folder that yld made (a corpus, an audit) below
the one that is named is no source. What is passed over, pipes and devices too, is counted and
named, never silently left.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from manifests.paths import as_text


def _suffixes(words: str) -> frozenset[str]:
    return frozenset(words.split())


VIDEO_SUFFIXES = _suffixes(
    ".3g2 .3gp .3gpp .amv .asf .avi .divx .dv .dvr-ms .evo .f4v .flv .gxf .insv .ismv .m1v .m2p "
    ".m2t .m2ts .m2v .m4v .mk3d .mkv .mod .mov .mp4 .mp4v .mpe .mpeg .mpg .mpv .mqv .mts .mxf "
    ".nsv .nut .ogm .ogv .ogx .qt .rm .rmvb .tod .tp .trp .ts .vob .vro .webm .wm .wmv .wtv .xvid"
)
"""Of containers of pictures and sound that FFmpeg reads."""
AUDIO_SUFFIXES = _suffixes(
    ".aac .ac3 .aif .aiff .amr .ape .au .caf .dts .eac3 .flac .gsm .m4a .m4b .mka .mp2 .mp3 .oga "
    ".ogg .opus .ra .snd .sph .spx .tta .voc .w64 .wav .weba .wma .wv"
)
OTHER_SUFFIXES = _suffixes(
    ".7z .align .ann .ass .avif .bak .bib .bmp .bz2 .c .cache .cfg .conf .cpp .css .csv .db .dmp "
    ".doc .docx .dpx .eaf .exr .feather .gif .gz .h .h5 .hdf5 .heic .heif .htm .html .ico .idx "
    ".ini .ipynb .jpeg .jpg .js .json .jsonl .key .list .lab .lock .log .lrv .lst .m .mat .md "
    ".md5 .mlf .npy .npz .nfo .onnx .parquet .part .pdf .phn .pickle .pkl .png .ppt .pptx .proto "
    ".ps .pt .pth .py .r .rar .rst .rtf .sami .sbv .scc .sh .sha1 .sha256 .smi .sqlite .srt .ssa "
    ".stm .sub .svg .tar .tex .textgrid .tgz .thm .tif .tiff .tmp .toml .torrent .tsv .ttml .txt "
    ".url .urls .vtt .webp .wrd .xls .xlsx .xml .xz .yaml .yml .ytdl .zip .zst"
)
"""Known to be no media, and not looked into."""
OWN_MARK = ".yld.json"
"""Marks a folder that yld made (`pipeline/storage/own_folder.py`)."""
NUM_NAMED = 5
"""Names that a line gives."""
HEAD_BYTES = 4096
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"wide", b"pnot"})
_PICTURE_OR_SOUND = (
    b"heic",
    b"heix",
    b"hevc",
    b"mif1",
    b"msf1",
    b"avif",
    b"avis",
    b"M4A ",
    b"M4B ",
    b"M4P ",
    b"crx ",
    b"jxl ",
    b"aax ",
)
_STARTS = (
    b"\x1aE\xdf\xa3",
    b"0&\xb2u\x8ef\xcf\x11",
    b"FLV\x01",
    b".RMF",
    b"\0\0\1\xba",
    b"\0\0\1\xb3",
    b"\x06\x0e+4\x02\x05\x01\x01",
    b"nut/multimedia container",
    b"\x1f\x07\0",
    b"\xb7\xd8\0 7I\xda\x11",
)
"""Matroska, ASF, FLV, RealMedia, MPEG-PS, MPEG video, MXF, NUT, DV, WTV."""


@dataclass
class Tree:
    """All files below a folder, in order, and what is to be told of the walk."""

    root: Path
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Neither files nor folders: pipes, sockets, devices."""


@dataclass
class Media:
    """The media files below a folder, in order, and those passed over, by suffix."""

    files: list[Path]
    passed_over: dict[str, list[Path]]
    notes: list[str]

    def lines(self) -> list[str]:
        """What a person should be told of it; nothing where all files are media."""
        lines = list(self.notes)
        if self.passed_over:
            groups = sorted(self.passed_over.items(), key=lambda g: (-len(g[1]), g[0]))
            lines.append(
                f"passed over as no media, by suffix and content "
                f"({sum(len(g) for _, g in groups)}): "
                + ", ".join(f"{len(g)} {s or 'without a suffix'} ({_named(g)})" for s, g in groups)
            )
        return lines


def tell(lines: Iterable[str]) -> None:
    """Lines to stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def walk(root: Path) -> Tree:
    """All files below `root`, which is a folder; folders that are links entered once."""
    tree = Tree(root)
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []
    _enter(root, tree, seen, links)
    while links:
        link = links.pop(0)
        try:
            target, here = link.resolve(strict=True), link.parent.resolve()
            facts = target.stat()
        except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
            tree.notes.append(f"{as_text(link)} is a link that leads nowhere")
            continue
        if target == here or target in here.parents or target in root.resolve().parents:
            tree.notes.append(
                f"{as_text(link)} leads back to {as_text(target)}, a folder that it "
                "lies in; not entered again"
            )
        elif (facts.st_dev, facts.st_ino) in seen:
            tree.notes.append(f"{as_text(link)} leads to {as_text(target)}, which is read already")
        else:
            _enter(link, tree, seen, links)
    tree.files.sort()
    tree.others.sort()
    return tree


def files_in(folder: Path) -> Tree:
    """The files of the folder itself, links to files too; nothing below it, and nothing told."""
    return Tree(folder, sorted(path for path in folder.iterdir() if _is(path.is_file)))


def _enter(folder: Path, tree: Tree, seen: set[tuple[int, int]], links: list[Path]) -> None:
    """Read a folder and all real ones below it; those that are links go to `links`."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            tree.notes.append(f"{as_text(folder)} cannot be read: {error.strerror}")
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif _is(entry.is_dir):
                links.append(path)
            elif _is(entry.is_file):
                tree.files.append(path)
            elif path.exists() or not entry.is_symlink():
                tree.others.append(path)
            else:
                tree.notes.append(f"{as_text(path)} is a link that leads nowhere")


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link in a loop
        return False


def find_media(root: Path, with_sound: bool = False, tree: Tree | None = None) -> Media:
    """The media files below the folder `root` (or of its `tree`): videos, and with `with_sound`
    files of sound alone too. Hidden files, all below hidden folders, and all below folders that yld
    made (`root` may be one) are passed over."""
    tree = tree or walk(root)
    suffixes = VIDEO_SUFFIXES | AUDIO_SUFFIXES if with_sound else VIDEO_SUFFIXES
    files, passed, by_content = [], defaultdict(list), []
    own = _own_folders(root, tree)
    for path in tree.files:
        if (folder := next((p for p in path.parents if p in own), None)) is not None:
            own[folder] += 1
        elif any(part.startswith(".") for part in path.relative_to(root).parts):
            passed["hidden"].append(path)
        elif path.suffix.lower() in suffixes:
            files.append(path)
        elif is_media(path, suffixes):
            files.append(path)
            by_content.append(path)
        else:
            passed[path.suffix.lower()].append(path)
    notes = [*tree.notes, *_others(tree.others)]
    notes += [
        f"{as_text(folder)} is a folder that yld made (it holds {OWN_MARK}); its {count} "
        "files are passed over; to take them, name the folder itself"
        for folder, count in sorted(own.items())
    ]
    if by_content:
        notes.append(
            f"taken as media by content, whatever the name says ({len(by_content)}): "
            f"{_named(by_content)}"
        )
    return Media(files, dict(passed), notes)


def _own_folders(root: Path, tree: Tree) -> dict[Path, int]:
    """The outermost folders below `root` that yld made, with 0 each."""
    marked = {p.parent for p in tree.files if p.name == OWN_MARK} - {root}
    return {p: 0 for p in marked if not marked.intersection(p.parents)}


def _others(paths: list[Path]) -> list[str]:
    if not paths:
        return []
    kinds = Counter(_kind(path) for path in paths)
    counts = ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in sorted(kinds.items()))
    return [f"passed over as neither file nor folder ({len(paths)}): {counts} ({_named(paths)})"]


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:  # gone since
        return "other"
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def is_media(path: Path, suffixes: Collection[str] = VIDEO_SUFFIXES) -> bool:
    """Whether one file counts as media: by suffix, else, where that is not known, by content."""
    suffix = path.suffix.lower()
    if suffix in suffixes:
        return True
    if suffix in OTHER_SUFFIXES or suffix in AUDIO_SUFFIXES:
        return False
    try:
        with open(path, "rb") as file:
            return looks_like_video(file.read(HEAD_BYTES))
    except OSError:
        return False


def looks_like_video(head: bytes) -> bool:
    """Whether a file that begins so (4096 bytes are enough) is a container of moving pictures.

    Signatures after FFmpeg's probes. Containers that hold sound or stills alone do not count where
    the signature tells.
    """
    if head[4:8] in _BOXES:
        return not (head[4:8] == b"ftyp" and head[8:12] in _PICTURE_OR_SOUND)
    if head[:4] == b"RIFF":
        return head[8:12] in (b"AVI ", b"AVIX")
    if head[:4] == b"OggS":
        return any(word in head for word in (b"\x80theora", b"BBCD", b"video\0"))
    if head.startswith(_STARTS):
        return True
    return any(
        len(head) > first + 5 * size and all(head[first + n * size] == 0x47 for n in range(5))
        for size, first in ((188, 0), (192, 4), (204, 0))
    )


def looks_like_text(head: bytes) -> bool:
    """Whether a file that begins so is text: a page, a play list, an error message."""
    if head.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return True
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character cut in two
            return head.lstrip()[:1] == b"<"
    return True


def _named(paths: list[Path]) -> str:
    """The names of some files, each once; how many the others are."""
    names = Counter(as_text(p.name) for p in paths)
    shown = list(names.items())[:NUM_NAMED]
    more = len(paths) - sum(count for _, count in shown)
    return ", ".join(
        [
            *(name if count == 1 else f"{name}, {count} times" for name, count in shown),
            *([f"and {more} more"] if more > 0 else []),
        ]
    )
