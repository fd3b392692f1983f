"""`yld remove`: look for what is asked, take it out, look whether anything is left, tell what was
made of it elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from manifests.corpus import Corpus, NotACorpusError
from pipeline.build import taking_out
from pipeline.build.gone import Gone, begun
from pipeline.care.targets import Chosen, TargetError, Wanted, choose
from pipeline.care.traces import traces
from pipeline.storage import made, mirror, own_folder
from pipeline.storage.lease import Lease
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import MARK, NotOursError
from pipeline.storage.work_files import WorkFiles


@dataclass
class Told:
    """What a removal did, or would do."""

    chosen: Chosen | None = None
    was: Gone | None = None
    """What a removal that was stopped takes out: completed first, or with a dry run still to be."""
    shards: list[str] = field(default_factory=list)
    """Those that hold a clip that goes."""
    own_files: list[str] = field(default_factory=list)
    """Media of the user's that yld does not touch."""
    traces: list[tuple[str, str]] = field(default_factory=list)
    """What still stands in the folder: file, and what was found in it."""
    links: dict[str, list[str]] = field(default_factory=dict)
    """Words among the traces that links which stay have too, and these."""
    again: list[str] = field(default_factory=list)
    """Commands for what was made of the corpus elsewhere and holds it still."""


def remove(
    root: Path, wanted: Wanted, files: WorkFiles | None = None, dry_run: bool = False
) -> Told:
    """Take what is `wanted` out of the corpus at `root`; `files` of one at an address.

    Without anything wanted, only a removal that was stopped is completed. Raises NotACorpusError,
    NotOursError, TargetError, PhotoError, CorpusBusyError, RemoteError.
    """
    files = files or WorkFiles(root / "work")
    _open(root, files)
    if own_folder.find(root) is None and not own_folder.is_from_before(root, "corpus"):
        raise NotOursError(f"{root} has no {MARK}: yld did not make it, or it is a copy of a part")
    if dry_run:
        stopped = begun(files.folder)
        return _described(Corpus(root), wanted, stopped)
    with CorpusLock(files.folder) as lock, Lease(files, lock) as lease:
        if lease.was_elsewhere:
            mirror.pull_state(files)
            mirror.pull(root, files)
        was = taking_out.complete(root, files)
        try:
            told = _described(Corpus(root), wanted, was)
        except TargetError as error:
            if was is None:
                raise
            raise TargetError(
                f"a removal that had been stopped was completed, and nothing else: {error}"
            ) from None
        chosen = told.chosen
        if chosen and chosen.gone:
            # Known to a build by the names that corpora give; ours are hashes of removed ids.
            named = frozenset(s for s in chosen.speakers if not s.startswith("spk-"))
            gone = replace(chosen.gone, asked=wanted.asked)
            taking_out.take_out(root, files, gone, speakers=named, faces=chosen.faces)
        every = [g for g in (was, chosen.gone if chosen else None) if g]
        if every:
            if files.address is not None:
                mirror.push(root, files)
            told.traces = traces(root, {n for gone in every for n in needles(gone)})
            told.links = _links(root, {word for _, word in told.traces})
        told.again = _again(root, every)
    return told


def _links(root: Path, words: set[str]) -> dict[str, list[str]]:
    """Requests and sources that stay and have one of `words` in their address, title or another
    column: perhaps the same video elsewhere, of which nothing came in."""
    corpus, found = Corpus(root), dict[str, list[str]]()
    for row in (r for t in ("requests", "expanded", "sources") for r in corpus.rows(t)):
        texts = [v for v in row.values() if isinstance(v, str)]
        for word in sorted(words):
            known = found.setdefault(word, [])
            if row["address"] not in known and any(word in text for text in texts):
                known.append(row["address"])
    return {word: known for word, known in found.items() if known}


def _open(root: Path, files: WorkFiles) -> None:
    """Raises NotACorpusError, and CorpusBusyError where it is no corpus yet since it is being
    built."""
    try:
        Corpus(root)
    except NotACorpusError:
        if (files.folder / "lock").exists():
            CorpusLock(files.folder).release()
        raise


def _described(corpus: Corpus, wanted: Wanted, was: Gone | None) -> Told:
    """`was`: what a removal took out that had been stopped; it is not looked for again."""
    wanted = wanted if was is None else wanted.but(was)
    if not wanted:
        return Told(was=was, again=_again(corpus.root, [was] if was else []))
    chosen = choose(corpus, wanted)
    gone = chosen.gone
    rows = [r for r in corpus.rows("samples") if gone.has_row(r)]
    theirs = {
        r["address"] for r in corpus.rows("sources") if gone.has_row(r) and r["kind"] == "file"
    }
    return Told(
        chosen,
        shards=sorted({r["shard"] for r in rows}),
        own_files=sorted(a for a in theirs if Path(a).exists()),
        again=_again(corpus.root, [g for g in (was, gone) if g]),
        was=was,
    )


def needles(gone: Gone) -> list[str]:
    """What must stand nowhere any more."""
    return sorted({*gone.ids, *gone.addresses, *gone.contents, *gone.names})


def _again(root: Path, every: Sequence[Gone]) -> list[str]:
    """Commands for what holds something of it."""
    found = (again(root, one, gone) for one in made.noted(root) for gone in every)
    return list(dict.fromkeys(command for command in found if command is not None))


def again(root: Path, one: made.Made, gone: Gone) -> str | None:
    """The command that makes it again, or takes it out there; None where nothing of `gone` is in
    it."""
    place = one.place
    if one.command == "merge":
        return _from_merged(place, gone)
    if _is_untold(one):
        holds: object = True
    elif place.is_dir():
        holds = traces(place, needles(gone)) or any(p.is_symlink() for p in place.rglob("*.tar"))
    else:
        text = place.read_text(encoding="utf-8", errors="replace")
        holds = any(needle in text for needle in needles(gone))
    if not holds:
        return None
    here, there = shlex.quote(str(root)), shlex.quote(str(place))
    first = f"yld clean {there} --yes" if place.is_dir() else f"rm {there}"
    words = f"yld {one.command} {here} {one.options} --out {there}".split()
    return f"{first} && {' '.join(words)}"


def _from_merged(place: Path, gone: Gone) -> str | None:
    """The command that takes it out of a merged corpus too."""
    try:
        corpus = Corpus(place)
    except NotACorpusError:  # stopped: the same merge begins anew, with what is left
        held = traces(place, needles(gone))
        return f"yld clean {shlex.quote(str(place))} --yes" if held else None
    videos = {r["video_id"] for r in corpus.rows("sources")} & gone.videos
    with_video = {r["address"] for r in corpus.rows("sources") if r["video_id"] in videos}
    known = {r["address"] for t in ("requests", "sources") for r in corpus.rows(t)}
    sources = (known & gone.addresses) - with_video
    named = [f"--video {shlex.quote(v)}" for v in sorted(videos)]
    named += [f"--source {shlex.quote(a)}" for a in sorted(sources)]
    return " ".join(["yld remove", shlex.quote(str(place)), *named]) if named else None


def _is_untold(one: made.Made) -> bool:
    """Whether it is an export clip by clip that does not say of which videos: one that was stopped,
    or that an older version made. Files of some forms are called by the speaker, or by a hash."""
    from pipeline.export.forms import WHOLE
    from pipeline.export.job import FACTS, VIDEOS

    if one.command != "export" or shlex.split(one.options)[1:2] in [[name] for name in WHOLE]:
        return False
    try:
        return VIDEOS not in json.loads((one.place / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return True
