"""Forms of the corpus as a whole: for the Hugging Face Hub, for Megatron-Energon, and as links."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from manifests.corpus import Corpus, shards_of
from manifests.description.croissant import TABLES
from manifests.files import atomic_path
from manifests.shards import SampleIndex, ShardError
from pipeline.export.hub import Hub
from pipeline.export.job import FACTS, Exported
from pipeline.storage import made
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import OwnFolder, claimed, refuse_inside
from pipeline.storage.removing import refuse_stopped

CARD, DESCRIPTION = "README.md", "dataset.json"


def export_whole(root: Path, out: Path, name: str, push: str | None = None) -> Exported:
    """`push` names a repository of the Hub. Raises ValueError, HubError and the errors of
    `job.export`."""
    refuse_stopped(root)
    if name == "links":
        from pipeline.export.links import write_links

        done = write_links(Corpus(root), out)
        made.note(root, out, "export", as_=name)
        return done
    refuse_inside(root, out)
    hub = None if push is None else Hub(push)  # before gigabytes are copied
    with claimed(out, "export") as own, CorpusLock(out / "work"):
        own.refuse_foreign([FACTS])
        _refuse_another(own, name)
        if name == "huggingface" and not (root / CARD).is_file():
            raise ValueError(
                f"{root} has no card ({CARD}); export from a corpus that `yld build` made"
            )
        made.note(root, out, "export", as_=name, push=push)  # before the first file is there
        done = Exported(name)
        if name == "huggingface":
            _hugging_face(root, own, done)
        else:
            _energon(root, own, done)
        text = json.dumps(done.summary(), indent=1) + "\n"
        _write(own, {FACTS: text})
        if hub is not None:
            names = [name for name in own.files if name != FACTS]
            done.where = hub.upload(own.root, sorted(names))
    return done


def _hugging_face(root: Path, own: OwnFolder, done: Exported) -> None:
    """Shards and the card, whose head says where they are and what is in them; the description in
    Croissant and the two tables that it reads. No other table goes along: they hold paths of the
    machine that built the corpus. What an earlier export had and this one has not, goes."""
    shards = [shard.relative_to(root).as_posix() for shard in shards_of(root)]
    names = [CARD, *shards, *_described(root)]
    own.about_to_write(names)
    for name in names:
        target = own.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(root / name, temporary)
    own.remove([name for name in own.files if name not in {FACTS, *names}])
    own.wrote(names)
    done.files, done.clips = len(names), _count(root)


def _refuse_another(own: OwnFolder, name: str) -> None:
    path = own.root / FACTS
    before = json.loads(path.read_text(encoding="utf-8")).get("form") if path.exists() else name
    if before != name:
        raise ValueError(f"{own.root} holds an export as {before}; give another folder to --out")


def _described(root: Path) -> list[str]:
    """`dataset.json` and the tables of its records."""
    if not (root / DESCRIPTION).is_file():
        return []
    tables = (p for t in TABLES for p in sorted((root / "manifests" / t).glob("part-*.parquet")))
    return [DESCRIPTION, *(p.relative_to(root).as_posix() for p in tables)]


def _energon(root: Path, own: OwnFolder, done: Exported) -> None:
    """Links to the shards, so that the index that `energon prepare` writes beside each lies here,
    and the card of a data set: what a sample is (CrudeWebdataset)."""
    shards = shards_of(root)
    for shard in shards:
        link = own.root / shard.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(link):
            if not link.is_symlink() or link.resolve() != shard.resolve():
                raise ValueError(f"{link} is in the way; move it, or give another --out")
            continue
        link.symlink_to(shard.resolve())
    parts = sorted({shard.parent.name for shard in shards})
    command = (
        "energon prepare . --non-interactive --no-progress --num-workers 4 "
        "--sample-type CrudeWebdataset "
        + " ".join(f"--split-parts '{part}:shards/{part}/.*'" for part in parts)
    )
    _write(own, {"prepare.sh": f"#!/bin/sh\n# Once, from this folder.\n{command}\n"})
    done.files, done.clips = len(shards) + 1, _count(root)


def _count(root: Path) -> int:
    count = 0
    for shard in shards_of(root):
        try:
            count += len(SampleIndex.of(shard))
        except ShardError as error:
            raise ValueError(f"{error}; run `yld verify`") from None
    return count


def _write(own: OwnFolder, texts: dict[str, str]) -> None:
    own.about_to_write(texts)
    for name, text in texts.items():
        with atomic_path(own.root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    own.wrote(texts)
