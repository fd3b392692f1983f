"""Forms of the corpus as a whole: for the Hugging Face Hub, for Megatron-Energon, and as links."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from manifests.corpus import Corpus, shards_of
from manifests.files import atomic_path
from manifests.shards import SampleIndex, ShardError
from pipeline.export.job import FACTS, Exported
from pipeline.storage import made
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import OwnFolder, claim, refuse_inside

CARD = "README.md"


def export_whole(root: Path, out: Path, name: str, push: str | None = None) -> Exported:
    """Raises ValueError and the errors of `job.export`."""
    if name == "links":
        from pipeline.export.links import write_links

        done = write_links(Corpus(root), out)
        made.note(root, out, "export", as_=name)
        return done
    refuse_inside(root, out)
    own = claim(out, "export", [FACTS])
    made.note(root, out, "export", as_=name, push=push)
    with CorpusLock(out / "work"):
        done = Exported(name)
        if name == "huggingface":
            _hugging_face(root, own, done)
        else:
            _energon(root, own, done)
        text = json.dumps(done.summary(), indent=1) + "\n"
        _write(own, {FACTS: text})
    if push is not None:
        upload(out, push)
    return done


def _hugging_face(root: Path, own: OwnFolder, done: Exported) -> None:
    """Shards and the card, whose head says where they are and what is in them. No table goes along:
    tables hold paths of the machine that built the corpus."""
    if not (root / CARD).is_file():
        raise ValueError(f"{root} has no card ({CARD}); export from a corpus that `yld build` made")
    names = [shard.relative_to(root).as_posix() for shard in shards_of(root)]
    own.about_to_write([CARD, *names])
    for name in [CARD, *names]:
        target = own.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(root / name, temporary)
    own.wrote([CARD, *names])
    done.files, done.clips = 1 + len(names), _count(root)


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


def upload(folder: Path, repo: str) -> None:
    """The folder to a data set repository of the Hub, by huggingface_hub and its token. Raises
    ValueError where that is not installed or the Hub refuses."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise ValueError(
            "--push needs huggingface_hub (`uv pip install huggingface_hub`); the export itself "
            f"is complete in {folder}"
        ) from None
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[".yld.json", "work/**", FACTS],
            commit_message="A corpus made by yld",
        )
    except HfHubHTTPError as error:
        raise ValueError(
            f"the Hub does not take {repo}: {' '.join(str(error).split())[:200]}; the export "
            f"itself is complete in {folder}, the same command uploads again"
        ) from None
