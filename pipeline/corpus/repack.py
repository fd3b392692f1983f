"""A corpus of the same samples with the frames of one crop in the place of the faces.

Shards keep their names and samples, and tables are copied; only the table `samples` says other
sizes and hashes. A run that was stopped goes on with the shards that are not there yet; with other
settings, or where a shard of the corpus changed, they are written anew.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from manifests.corpus import Corpus
from manifests.description.card import write_checksums
from manifests.files import atomic_path, sha256_of, write_atomic
from manifests.paths import check_out
from manifests.records import Sample
from manifests.schema import write_table
from manifests.shards import (
    FRAMES_FACTS,
    SampleIndex,
    ShardError,
    index_name,
    read_samples,
    write_samples,
)
from pipeline.corpus.packing import Packed, Packing, card, in_order
from pipeline.run.steps import Steps
from pipeline.storage import made
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import OwnFolder, claim, refuse_inside
from pipeline.storage.removing import refuse_stopped
from training.data.samples import ALL, shards_of_split

RECIPE, SEAL, CARD = "repack.json", "SHA256SUMS", "README.md"
SAMPLES_TABLE = "manifests/samples/part-000000.parquet"


def repack(root: Path, out: Path, packing: Packing) -> Packed:
    """Repack the corpus (or folder of WebDataset tars with `face.mp4`) at `root` to `out`.

    Raises ShardError for a damaged sample, ValueError for no corpus or an `out` that holds or lies
    in it, NotOursError and FileInTheWayError, before anything is changed, for what is another's.
    """
    check_out(root)
    refuse_inside(root, out)
    shards = shards_of_split(root, ALL)
    first = next(read_samples(root / shards[0]), None)
    if first is not None and FRAMES_FACTS in first.members:
        raise ValueError(f"{root} was repacked itself; name the corpus that it was made from")
    tables = _tables(root)
    refuse_stopped(root)
    own = claim(out, "repack", [RECIPE, SEAL, CARD])
    made.note(root, out, "shards repack", **dataclasses.asdict(packing))
    with CorpusLock(out / "work"):
        return _Repacking(root, own, packing, shards, tables).run()


class _Repacking:
    """One run: what is to do, doing it, and sealing it."""

    def __init__(
        self, root: Path, own: OwnFolder, packing: Packing, shards: list[str], tables: list[str]
    ) -> None:
        self.root, self.own, self.packing = root, own, packing
        self.shards, self.tables = shards, tables
        self.recipe = {
            "packing": dataclasses.asdict(packing),
            "shards": {shard: sha256_of(root / shard) for shard in shards},
        }

    def run(self) -> Packed:
        todo, fixed = self._to_do(), [*self.tables, RECIPE, SEAL, CARD]
        self.own.refuse_strays("manifests/*/part-*.parquet", self.tables)
        files = [name for shard in todo for name in (shard, index_name(shard))]
        self.own.about_to_write([*files, *fixed])
        (self.own.root / SEAL).unlink(missing_ok=True)  # until it is true again
        self._write(RECIPE, json.dumps(self.recipe, indent=1, sort_keys=True) + "\n")
        wanted = {name for shard in self.shards for name in (shard, index_name(shard))}
        wanted |= set(fixed)
        self.own.remove([name for name in self.own.files if name not in wanted])
        with Steps("repack", len(todo), "shards") as steps:
            for shard in todo:
                steps.at(shard)
                self._shard(shard)
                steps.done()
        return self._sealed()

    def _to_do(self) -> list[str]:
        """Shards that an earlier run of the same settings did not finish from the same bytes."""
        before = self._before()
        if before.get("packing") != self.recipe["packing"]:
            return self.shards
        sources = before.get("shards", {})
        return [
            shard
            for shard in self.shards
            if sources.get(shard) != self.recipe["shards"][shard]
            or self.own.files.get(shard) is None
            or not self.own.is_whole(shard)
        ]

    def _before(self) -> dict[str, Any]:
        try:
            told = json.loads((self.own.root / RECIPE).read_text(encoding="utf-8"))
            return told if isinstance(told, dict) else {}
        except (OSError, ValueError):
            return {}

    def _shard(self, shard: str) -> None:
        target = self.own.root / shard
        (self.own.root / index_name(shard)).unlink(missing_ok=True)
        with atomic_path(target) as temporary, open(temporary, "wb") as stream:
            write_samples(stream, in_order(self.packing, read_samples(self.root / shard)))
        SampleIndex.scan(target).write()
        self.own.wrote([shard, index_name(shard)])

    def _sealed(self) -> Packed:
        """Tables, card and checksums, from the shards as they lie there."""
        rows, frames, num_bytes = {}, 0, 0
        for shard in self.shards:
            for number, sample in enumerate(read_samples(self.own.root / shard)):
                rows[sample.key] = (shard, number, sample.num_bytes, sample.sha256())
                frames += json.loads(sample.members[FRAMES_FACTS])["shape"][0]
                num_bytes += sample.num_bytes
        for name in self.tables:
            _copy(self.root / name, self.own.root / name)
        if SAMPLES_TABLE in self.tables:
            self._samples_table(rows)
            inner = [n.removeprefix("manifests/") for n in self.tables if not n.endswith(SEAL)]
            write_checksums(self.own.root / "manifests", inner)
        done = Packed(self.packing, len(self.shards), len(rows), frames, num_bytes)
        self._write(CARD, card(self.root.resolve().name, done))
        write_checksums(self.own.root, [*self.shards, RECIPE])
        self.own.wrote([*self.tables, SEAL])
        return done

    def _samples_table(self, rows: dict[str, tuple[str, int, int, str]]) -> None:
        names = [field.name for field in dataclasses.fields(Sample)]
        made = []
        for row in Corpus(self.root).rows("samples"):
            if row["clip_id"] not in rows:
                raise ShardError(
                    f"no shard of {self.root} holds {row['clip_id']}; run `yld verify`"
                )
            shard, number, num_bytes, sha256 = rows[row["clip_id"]]
            now = {"shard": shard, "index_in_shard": number, "num_bytes": num_bytes}
            made.append(Sample(**{n: row[n] for n in names} | now | {"sha256": sha256}))
        write_table(self.own.root / SAMPLES_TABLE, Sample, made)

    def _write(self, name: str, content: str) -> None:
        write_atomic(self.own.root / name, content)
        self.own.wrote([name])


def _tables(root: Path) -> list[str]:
    """What of `manifests` is copied, relative to the corpus; nothing of a folder of plain tars."""
    if not (root / "manifests").is_dir():
        return []
    Corpus(root)  # raises where `manifests` is another's
    found = [p.relative_to(root).as_posix() for p in (root / "manifests").glob("*/part-*.parquet")]
    fixed = ("manifests/status.json", "manifests/splits.json", "manifests/SHA256SUMS")
    return sorted(found) + [name for name in fixed if (root / name).is_file()]


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
