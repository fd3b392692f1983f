"""Taking videos out of a corpus, all that was made of them, and every mention.

Tables, shards and descriptions are edited as they stand: no stage runs, no file of the user's is
read. Only shards that hold a removed clip are written again. Each step can be done twice; what was
stopped in the middle is completed from the journal (`pipeline.build.gone`), by `complete`.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.corpus import Corpus
from manifests.files import atomic_path, write_atomic
from manifests.schema import TABLES, write_table
from manifests.shards import SampleIndex, index_name, read_samples, write_samples
from manifests.splits import EmptySplitError
from manifests.splits import describe as describe_splits
from pipeline.build.described import Told, describe
from pipeline.build.gone import Gone, begun
from pipeline.build.published import read as read_published
from pipeline.build.published import write as write_published
from pipeline.build.rebuilt import FILE as REBUILT
from pipeline.build.work_without import Work, looked
from pipeline.run.entry import decode
from pipeline.run.steps import Steps
from pipeline.storage import removed as record
from pipeline.storage.own_folder import OwnFolder, claim
from pipeline.storage.removing import JOURNAL
from pipeline.storage.work_files import WorkFiles

STATUS = "status.json"
LEDGER = "ledger"
COUNTS = ("accepted", "rejected", "failed", "outputs")


def take_out(
    root: Path,
    files: WorkFiles,
    gone: Gone,
    *,
    speakers: frozenset[str] = frozenset(),
    faces: tuple[record.Face, ...] = (),
) -> None:
    """Take `gone` out of the corpus at `root`, whose lock is held, for good.

    `speakers`: names that corpora give persons; what they say of other videos is not taken in
    either. `faces`: persons who are known again by their embedding.
    """
    kept = record.read(files.folder)
    kept.add("address", gone.addresses)
    kept.add("video", gone.videos)
    kept.add("content", gone.contents)
    kept.add("speaker", speakers)
    kept.faces += [face for face in faces if face not in kept.faces]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept.times.append({"at": now, "videos": len(gone.videos), "clips": gone.clips})
    gone = _with_ledger(root, gone)
    # The record first: stopped before the journal, a build finds what it must not bring.
    files.write(record.NAME, kept.as_text())
    gone.keep(files.folder)
    _Taking(root, files, gone).run()


def complete(root: Path, files: WorkFiles) -> Gone | None:
    """Complete a removal that was stopped, the corpus's lock held; what it took out, or None."""
    gone = begun(files.folder)
    if gone is not None:
        _Taking(root, files, gone).run()
    return gone


def _with_ledger(root: Path, gone: Gone) -> Gone:
    """Also the side files that the ledger names, and what the funnel will tell."""
    side_files, status = looked(root, gone)
    return replace(gone, files=frozenset(side_files), status=status)


class _Taking:
    def __init__(self, root: Path, files: WorkFiles, gone: Gone) -> None:
        self.root, self.files, self.work, self.gone = root, files, files.folder, gone
        self.own: OwnFolder = claim(root, "corpus")

    def run(self) -> None:
        corpus = Corpus(self.root)
        name = corpus.name
        for seal in ("SHA256SUMS", "manifests/SHA256SUMS"):
            (self.root / seal).unlink(missing_ok=True)  # until they are true again
        steps = self.steps(name)
        with Steps("remove", len(steps), "steps") as told:
            for words, step in steps:
                told.at(words)
                step()
                told.done()
        (self.work / JOURNAL).unlink()

    def steps(self, name: str) -> list[tuple[str, Callable[[], None]]]:
        """What is done, in this order, each with words for it."""
        below = Work(self.files, self.gone)
        return [
            ("what was asked for", below.requests),
            ("ledger", below.ledger),
            ("side files", below.side_files),
            ("log", below.log),
            ("shards", self._shards),
            ("tables", self._tables),
            ("what is published", self._published),
            ("descriptions", lambda: self._describe(name)),
            ("report", self._report),
        ]

    # -- what is published -----------------------------------------------------------------------

    def _shards(self) -> None:
        for path in sorted((self.root / "shards").glob("*/*.tar")):
            name = path.relative_to(self.root).as_posix()
            if name not in self.own.files:
                continue
            keys = SampleIndex.scan(path).keys
            kept = {key for key in keys if not self.gone.has(key)}
            if not kept:
                self.own.remove([name, index_name(name)])
            elif len(kept) < len(keys):
                self._shard(name, kept)
            elif SampleIndex.beside(path) is None:
                self._index(name)  # the run that wrote the shard was stopped before it

    def _shard(self, name: str, kept: set[str]) -> None:
        self.own.about_to_write([name, index_name(name)])
        path = self.root / name
        (self.root / index_name(name)).unlink(missing_ok=True)
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            write_samples(stream, (s for s in read_samples(path) if s.key in kept))
        self._index(name)

    def _index(self, name: str) -> None:
        SampleIndex.scan(self.root / name).write()
        self.own.wrote([name, index_name(name)])

    def _tables(self) -> None:
        for table, kind in TABLES.items():
            for path in sorted((self.root / "manifests" / table).glob("part-*.parquet")):
                rows = _part(path, kind)
                kept = [r for r in rows if not self.gone.has_row(vars(r))]
                if kind is rec.Sample:
                    kept = ranked(kept)
                if kept != rows:
                    name = path.relative_to(self.root).as_posix()
                    self.own.about_to_write([name])
                    write_table(path, kind, kept)
                    self.own.wrote([name])

    def _published(self) -> None:
        before = read_published(self.work)
        if before is None:
            return
        gone = self.gone.has_row
        pairs = [
            pair
            for pair in zip(before.samples, before.prints, strict=True)
            if not gone(vars(pair[0]))
        ]
        now = replace(
            before,
            samples=ranked([sample for sample, _ in pairs]),
            prints=[print_ for _, print_ in pairs],
            speakers=[s for s in before.speakers if not gone(vars(s))],
            splits=self._frozen(before.splits),
            left_out=[c for c in before.left_out if not self.gone.has(c)],
            marked=[c for c in before.marked if not self.gone.has(c)],
            fallen=[c for c in before.fallen if not self.gone.has(c)],
            tables={},  # their numbers are not the ledger's any more
        )
        write_published(self.work, now, None)
        if self.files.address is not None:
            from pipeline.storage.mirror import send_state

            send_state(self.files)

    def _frozen(self, frozen: dict[str, Any] | None) -> dict[str, Any] | None:
        """The policy, without rules of a list that name nothing but what goes."""
        if not frozen or "rules" not in frozen:
            return frozen
        return frozen | {"rules": [r for r in frozen["rules"] if not self._is_named(r[1])]}

    def _is_named(self, pattern: str) -> bool:
        last = pattern.rpartition("/")[2]
        return any(last == Path(name).stem or last == name for name in self.gone.names)

    def _describe(self, name: str) -> None:
        corpus = Corpus(self.root)
        samples = [decode(rec.Sample, r) for r in corpus.rows("samples")]
        splits = corpus.splits
        frozen = self._frozen({k: v for k, v in splits.items() if k not in _TOLD}) or {}
        parts = sorted(
            p.relative_to(self.root).as_posix()
            for p in (self.root / "manifests").glob("*/part-*.parquet")
        )
        status = self.gone.status
        write_atomic(self.work / STATUS, json.dumps(status))
        fixed = ["dataset.json", "README.md", "SHA256SUMS"]
        fixed += [f"manifests/{n}" for n in (STATUS, "splits.json", "SHA256SUMS")]
        self.own.about_to_write(fixed)
        describe(
            self.own,
            Told(
                name,
                samples,
                [decode(rec.Fetched, r) for r in corpus.rows("sources")],
                frozen,
                sentence_of(frozen, [s.split for s in samples]),
                [c for c in splits.get("left_out_clips", ()) if not self.gone.has(c)],
                status,
                parts,
            ),
        )
        self.own.wrote(fixed)
        self._rebuilt()

    def _rebuilt(self) -> None:
        """What `yld build links:FILE` told of the addresses."""
        path = self.root / REBUILT
        if REBUILT not in self.own.files or not path.exists():
            return
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        made = io.StringIO()
        kept = [r for r in rows if not (set(r) & self.gone.addresses)]
        csv.writer(made, lineterminator="\n").writerows(kept)
        self.own.about_to_write([REBUILT])
        write_atomic(path, made.getvalue())
        self.own.wrote([REBUILT])

    def _report(self) -> None:
        if "report.html" not in self.own.files:
            return
        from pipeline.corpus.report import write_report

        self.own.about_to_write(["report.html"])
        write_report(Corpus(self.root))
        self.own.wrote(["report.html"])


_TOLD = ("reason", "left_out_clips")
"""Of `splits.json`, beside the policy."""


def sentence_of(frozen: dict[str, Any], parts: list[str]) -> str:
    """How a corpus is divided, also where a part that was asked for is empty now."""
    if not frozen:
        return "No clip was made, so there are no parts."
    try:
        return describe_splits(frozen, parts)
    except EmptySplitError:
        sizes = Counter(parts)
        told = ", ".join(f"{n} {sizes[n]}" for n in ("train", "val", "test"))
        return f"Split by {frozen['policy']} ({frozen['why']}): {told}."


def ranked(samples: list[rec.Sample]) -> list[rec.Sample]:
    """The same samples, numbered anew in their shards, in the order that they had."""
    place: dict[str, int] = {}
    by_shard: Counter[str] = Counter()
    for sample in sorted(samples, key=lambda s: (s.shard, s.index_in_shard)):
        place[sample.clip_id] = by_shard[sample.shard]
        by_shard[sample.shard] += 1
    return [
        s if s.index_in_shard == place[s.clip_id] else replace(s, index_in_shard=place[s.clip_id])
        for s in samples
    ]


def _part(path: Path, kind: type) -> list[Any]:
    import pyarrow.parquet as pq

    return [decode(kind, row) for row in pq.read_table(path, partitioning=None).to_pylist()]
