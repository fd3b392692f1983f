"""`yld export`: a corpus written out in a form, clip by clip; what has no place in it is listed.

Written shard by shard. A run that was stopped goes on with the shards that are not done; another
form, other options or a corpus that changed need a folder of their own. `export.json` says what
was exported and of which videos, and `left_out.csv` which clips were not, and why.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from manifests.corpus import Corpus, NotACorpusError, shards_of
from manifests.files import sha256_of
from manifests.shards import ShardError, read_samples
from pipeline.export.clip import Clip
from pipeline.export.form import Form, LeftOut, Options
from pipeline.export.forms import form_of
from pipeline.storage import made
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import OwnFolder, claimed, refuse_inside
from pipeline.storage.removing import refuse_stopped

FACTS, LEFT_OUT = "export.json", "left_out.csv"
VIDEOS = "videos"
"""In `export.json` of a finished export: ids of the videos it holds, which names in some forms do
not tell."""


@dataclass
class Exported:
    """What an export gave."""

    form: str
    clips: int = 0
    files: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Keys of clips that have no place in the form, and why."""
    where: str | None = None
    """Address of what was uploaded."""

    def summary(self) -> dict[str, object]:
        return {
            "form": self.form,
            "clips": self.clips,
            "files": self.files,
            "left_out": len(self.left_out),
        }


def export(
    root: Path,
    out: Path,
    name: str,
    tokenizer: str | None = None,
    units: str | None = None,
) -> Exported:
    """Write the corpus at `root` to `out` in the form called `name`.

    Raises ValueError for no corpus, an `out` inside it, another export in `out`, or an export of no
    clip at all; NotOursError and FileInTheWayError, with nothing changed, for what is another's.
    """
    refuse_inside(root, out)
    refuse_stopped(root)
    shards = shards_of(root)
    note = partial(made.note, root, out, "export", as_=name, tokenizer=tokenizer, units=units)
    with claimed(out, "export") as own, CorpusLock(out / "work"):
        own.refuse_foreign([FACTS, LEFT_OUT])
        tables, work = _tables(root)
        options = Options(str(out.resolve()), tokenizer, units, tables, work)
        facts = {
            "form": name,
            "tokenizer": None if tokenizer is None else sha256_of(Path(tokenizer)),
            "root": options.root,
            "shards": {s.relative_to(root).as_posix(): sha256_of(s) for s in shards},
        }
        return _Run(root, own, form_of(name)(options), facts, note).run(shards)


def _tables(root: Path) -> tuple[dict[str, list[dict]], Path | None]:
    try:
        corpus = Corpus(root)
    except NotACorpusError:  # plain shards
        return {}, None
    return {t: corpus.rows(t) for t in ("sources", "tracks", "videos")}, root / "work"


class _Run:
    def __init__(
        self, root: Path, own: OwnFolder, form: Form, facts: dict, note: Callable[[], None]
    ) -> None:
        self.root, self.own, self.form, self.facts = root, own, form, facts
        self.note = note
        """Called before the first clip is written: what was refused is not made of the corpus, and
        what was stopped holds some of it."""
        self.done = Exported(form.name)
        self.videos: dict[str, str] = {}
        """Of clips that have a place, by their keys."""

    def run(self, shards: list[Path]) -> Exported:
        self._refuse_another()
        for number, shard in enumerate(shards):
            print(f"yld: {shard.name} ({number + 1} of {len(shards)})", file=sys.stderr)
            self._shard(shard)
        if not self.done.clips:
            self.own.remove([FACTS])
            reasons = sorted({why for _, why in self.done.left_out})
            raise ValueError(
                f"no clip of {self.root} has a place in {self.form.name}: "
                + ("; ".join(reasons[:3]) or "there are none")
                + (f". {self.form.remedy}" if reasons and self.form.remedy else "")
            )
        self._write(self.form.lists())
        videos = sorted({self.videos[key] for key in self.form.kept(set(self.videos))})
        facts = self.facts | self.done.summary() | {VIDEOS: videos}
        told = {FACTS: json.dumps(facts, indent=1).encode() + b"\n"}
        self._write(told | {LEFT_OUT: _csv(self.done.left_out)})
        return self.done

    def _refuse_another(self) -> None:
        """The folder must be new, or begun by the same export."""
        path = self.own.root / FACTS
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            if any(before.get(k) != v for k, v in self.facts.items()):
                raise ValueError(
                    f"{self.own.root} holds an export as {before.get('form')} of another corpus, "
                    "or with other options; give another folder to --out"
                )
        self._write({FACTS: json.dumps(self.facts, indent=1).encode() + b"\n"})

    def _shard(self, shard: Path) -> None:
        made: dict[str, bytes] = {}
        for clip in self._clips(shard):
            try:
                made |= self.form.files(clip)
            except LeftOut as why:
                self.done.left_out.append((clip.sample.key, str(why)))
                continue
            except ShardError as error:
                self.done.left_out.append((clip.sample.key, f"damaged: {error}"))
                continue
            if not self.done.clips:
                self.note()
            self.done.clips += 1
            self.videos[clip.sample.key] = str(clip.facts.get("video_id") or "")
        self._write(made)

    def _clips(self, shard: Path) -> Iterator[Clip]:
        try:
            for sample in read_samples(shard):
                yield Clip(sample)
        except ShardError as error:
            self.done.left_out.append((shard.name, f"damaged: {error}"))

    def _write(self, made: dict[str, bytes]) -> None:
        self.done.files += len(made)
        self.own.about_to_write(made)
        for name, content in made.items():
            path = self.own.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)  # half written, it is written anew: it is no clip's yet
        self.own.wrote(made)


def _csv(rows: list[tuple[str, str]]) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(["clip_id", "reason"])
    writer.writerows(rows)
    return made.getvalue().encode()
