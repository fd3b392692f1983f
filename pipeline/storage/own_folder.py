"""Whose a folder is, and whose each file in it: nothing that yld did not write is ever removed or
written over.

A folder that yld makes carries a mark, `.yld.json`, which records by name and hash what yld wrote
there beside the mark. A folder without it is only taken if it is empty (or was plainly made by a
version before marks). A file that no record names is in the way: the run stops before it changes
anything. A recorded file whose content is no longer what yld wrote is kept under another name.

Files below `work` are not in the mark: their names hold hashes, and the ledger names them
(`pipeline/corpus/clean.py`). An address has a mark too (`pipeline/storage/address.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from manifests.files import recording, sweep_temporaries, write_atomic
from manifests.paths import as_text, check_out
from manifests.plain_words import sentence
from manifests.shards import SampleIndex, index_name
from manifests.walk import OWN_MARK
from pipeline.storage.digests import NAME as DIGESTS
from pipeline.storage.digests import Digests
from pipeline.storage.lock import LOCK_FILES, RECORDS

MARK = OWN_MARK
KINDS = {
    "corpus": "yld build",
    "audit": "yld audit",
    "resync": "yld resync",
    "scores": "yld evaluate",
    "demo": "yld demo",
    "training": "yld train",
    "repack": "yld shards repack",
    "export": "yld export",
}
"""What a folder can be, and the command that makes one."""


class NotOursError(ValueError):
    """The folder holds files that yld did not write; nothing was changed."""


class FileInTheWayError(OSError):
    """Files that yld did not write lie where it would write; nothing was changed."""


class OwnFolder:
    """A folder of ours: `files` maps names (relative, with `/`) to the SHA-256 of what was
    written there, None where a run was about to write when it ended."""

    def __init__(self, root: Path, kind: str, files: dict[str, str | None]) -> None:
        self.root, self.kind, self.files = root, kind, files
        self.digests = Digests(root)

    def refuse_foreign(self, names: Iterable[str]) -> None:
        """Raises FileInTheWayError where something of another's lies at one of `names`."""
        names = sorted(set(names))
        foreign = [way for name in names if (way := self._in_the_way(name)) is not None]
        if foreign:
            shown = "\n  ".join(as_text(self.root / n) for n in foreign[:20])
            more = f"\n  and {len(foreign) - 20} more" if len(foreign) > 20 else ""
            raise FileInTheWayError(
                f"yld did not write what lies where it would write:\n  {shown}{more}\nNothing was "
                "changed. Move it away and give the same command again"
            )

    def about_to_write(self, names: Iterable[str]) -> None:
        """Call right before `names` are written, and before anything is removed that they stand
        for. Raises FileInTheWayError, with nothing changed."""
        names = list(names)
        self.refuse_foreign(names)
        for name in names:
            self._keep_changed(name)
        self.files |= dict.fromkeys(names)
        self.save()

    def refuse_strays(self, pattern: str, but: Iterable[str] = ()) -> None:
        """Raises FileInTheWayError for files of `pattern` that would be read as ours and that no
        record, and none of `but`, names."""
        ours = {*self.files, *but}
        self.refuse_foreign(
            name
            for path in self.root.glob(pattern)
            if (name := path.relative_to(self.root).as_posix()) not in ours
        )

    def is_whole(self, name: str) -> bool:
        """Whether the recorded file is there as it was written."""
        path, written = self.root / name, self.files.get(name)
        return path.is_file() and (written is None or self.digests.of(name) == written)

    def wrote(self, names: Iterable[str]) -> None:
        """Record what was written under `names`."""
        for name in names:
            if (self.root / name).is_file():
                self.files[name] = self.digests.of(name)
        self.save()

    def remove(self, names: Iterable[str]) -> int:
        """Remove recorded files, and folders that are empty then; the number removed. A file
        that was changed since is kept under another name."""
        removed = 0
        inside = self.root.resolve()
        for name in [n for n in names if n in self.files]:
            path = self.root / name
            if inside not in path.parent.resolve().parents and path.parent.resolve() != inside:
                del self.files[name]  # somebody put a link on the way: it may lead anywhere
                continue
            self._keep_changed(name)
            if path.is_file():
                path.unlink()
                removed += 1
            del self.files[name]
            drop_empty(path.parent, self.root)
        self.save()
        return removed

    def _in_the_way(self, name: str) -> str | None:
        """`name`, or the folder above it that is a file; None where the way is free or ours."""
        if name in self.files:
            return name if (self.root / name).is_dir() else None
        for above in reversed(PurePosixPath(name).parents[:-1]):
            if os.path.lexists(self.root / above) and not (self.root / above).is_dir():
                return str(above)
        return name if os.path.lexists(self.root / name) else None

    def _keep_changed(self, name: str) -> None:
        path, written = self.root / name, self.files.get(name)
        if written is None or not path.is_file() or self.digests.of(name) == written:
            return
        kept = free_name(path)
        os.replace(path, kept)
        print(
            f"yld: {path} was changed since it was written; the changed one is kept as {kept}",
            file=sys.stderr,
        )

    def save(self) -> None:
        """Write the mark, and what is known of the files' digests."""
        with recording(self.root / "work" / RECORDS):
            write_atomic(
                self.root / MARK,
                json.dumps(
                    {"format": 1, "kind": self.kind, "files": self.files}, indent=0, sort_keys=True
                )
                + "\n",
            )
            self.digests.save()


def refuse_inside(root: Path, out: Path) -> None:
    """Raises ValueError where what is read at `root` and what is written to `out` would lie in each
    other."""
    here, there = root.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"{out} and {root} lie in each other; name another folder with --out")


def claim(root: Path, kind: str, names: Iterable[str] = ()) -> OwnFolder:
    """The folder at `root` to write a `kind` into, made if it is not there.

    `names` are files that are going to be written whatever happens. Raises NotOursError for a
    folder that is another's or of another kind, FileInTheWayError for what lies at `names`.
    """
    own = check(root, kind)
    if own is None:
        root.mkdir(parents=True, exist_ok=True)
        own = OwnFolder(root, kind, _adopted(root, kind))
    own.refuse_foreign(names)
    own.save()
    return own


@contextlib.contextmanager
def claimed(root: Path, kind: str) -> Iterator[OwnFolder]:
    """`claim`, undone where what follows refuses (ValueError) before it made anything: neither the
    mark nor a lock stays in a folder that was not ours before."""
    was_ours, was_there = find(root) is not None, root.exists()
    try:
        yield claim(root, kind)
    except ValueError:
        if not was_ours:
            _unclaim(root, was_there)
        raise


def _unclaim(root: Path, keep_folder: bool) -> None:
    own = find(root)
    work = root / "work"
    held = {p.name for p in root.iterdir()} | {f"work/{p.name}" for p in work.glob("*")}
    passing = (*LOCK_FILES, DIGESTS)
    if own is None or own.files or held - {MARK, "work", *(f"work/{n}" for n in passing)}:
        return
    for name in passing:
        (work / name).unlink(missing_ok=True)
    drop_empty(work, root)
    (root / MARK).unlink()
    if not keep_folder:
        root.rmdir()


def check(root: Path, kind: str) -> OwnFolder | None:
    """What `claim` refuses, refused before any work; changes nothing."""
    check_out(root)
    own = find(root)
    if own is None:
        _refuse_foreign(root, kind)
    elif own.kind != kind:
        raise NotOursError(
            f"{root} was made by `{KINDS.get(own.kind, own.kind)}`; give "
            f"`{KINDS[kind]}` a folder of its own"
        )
    return own


def find(root: Path) -> OwnFolder | None:
    """The folder's mark as it stands; None without one. Raises NotOursError for a broken one."""
    try:
        mark = json.loads((root / MARK).read_text(encoding="utf-8"))
        files = {str(n): h for n, h in mark["files"].items() if _is_inside(str(n))}
        return OwnFolder(root, str(mark["kind"]), files)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotOursError(
            f"{root / MARK} cannot be read ({sentence(error)}), so nobody knows which files there "
            "are yld's; give another folder, or put the mark back"
        ) from None


def _refuse_foreign(root: Path, kind: str) -> None:
    """Raises NotOursError where `root` is a file, or holds anything and is not known to be ours."""
    for path in (root, *root.parents):
        if os.path.lexists(path) and not path.is_dir():
            raise NotOursError(
                f"nothing can be written to {root}: {path} is a file; name a "
                "folder, a new one or one that the same command made"
            )
    if not root.is_dir() or is_from_before(root, kind):
        return
    sweep_temporaries(root / "work" / RECORDS)  # of a run that was killed as it wrote the mark
    drop_empty(root / "work" / RECORDS, root)
    first = next(iter(sorted(os.listdir(os.fsencode(root)))), None)
    if first is not None:
        raise NotOursError(
            f"{root} is not empty and was not made by `{KINDS[kind]}` (it holds "
            f"'{as_text(os.fsdecode(first))}' and no {MARK}); nothing in it was touched. Name "
            f"a new folder, say {root / kind}"
        )


def refuse_existing(*paths: Path) -> None:
    """For commands that write single files. Raises NotOursError where one is there."""
    for path in paths:
        if os.path.lexists(path):
            raise NotOursError(
                f"{path} is there already and is not written over; name "
                "another file, or move it away"
            )


def free_name(path: Path) -> Path:
    """A name beside `path` that nothing has: `NAME.changed`, `NAME.changed-2`, ..."""
    name, number = path.with_name(f"{path.name}.changed"), 1
    while os.path.lexists(name):
        number += 1
        name = path.with_name(f"{path.name}.changed-{number}")
    return name


def drop_empty(folder: Path, root: Path) -> None:
    """Remove `folder` and those above it, below `root`, as long as they are empty."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def is_from_before(root: Path, kind: str) -> bool:
    """Whether a version without marks made `root`: its own records tell."""
    notes = {
        "corpus": ("work/requests.json", "work/fence"),
        "audit": ("work/audited.json",),
        "resync": ("before/work/audited.json",),
        "scores": ("work/rows.jsonl",),
    }.get(kind, ())
    return bool(notes) and all((root / note).is_file() for note in notes)


def _adopted(root: Path, kind: str) -> dict[str, str | None]:
    """What a version without marks certainly wrote to `root`."""
    if not root.is_dir() or not is_from_before(root, kind):
        return {}
    if kind != "corpus":
        fixed = {
            "audit": ("offsets.parquet", "summary.json", "report.html"),
            "resync": ("resync.parquet", "summary.json", "report.html"),
            "scores": ("scores.parquet", "ceilings.parquet", "scores.json", "report.html"),
        }[kind]
        trips = root.glob("work/griffin_lim/*.flac") if kind == "scores" else ()
        return {
            name: None
            for name in (*fixed, *(p.relative_to(root).as_posix() for p in trips))
            if (root / name).is_file()
        }
    published = root / "work" / "published.json"
    held = [json.loads(published.read_text())] if published.exists() else []
    parts = [root / "work" / part for head in held for part in head.get("parts", [])]
    held += [json.loads(part.read_text()) for part in parts]
    shards = {s["shard"] for h in held for s in h["samples"]}
    # The mark may also have been lost since: an index that fits its shard was made from it.
    indexes = {index_name(s) for s in shards if SampleIndex.beside(root / s) is not None}
    names = {*fixed_names(), "report.html", *shards, *indexes}
    return {name: None for name in names if (root / name).is_file()}


def fixed_names() -> list[str]:
    """What every publication writes beside the shards."""
    from manifests.schema import TABLES

    return [
        *(f"manifests/{table}/part-000000.parquet" for table in TABLES),
        "manifests/status.json",
        "manifests/splits.json",
        "manifests/SHA256SUMS",
        "config.yaml",
        "dataset.json",
        "README.md",
        "SHA256SUMS",
    ]
