"""The shards of a merged corpus: the first one's as they are where they can be, samples of the
second with their speaker and part in C."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.files import atomic_path
from manifests.records import Clip, Sample
from manifests.shards import SampleIndex, ShardSample, index_name, write_samples
from pipeline.run.steps import Steps
from pipeline.storage.own_folder import OwnFolder
from stages.corpus.sharding import Entry, ShardsConfig, plan_shards
from stages.text.clip_text import ClipText

NO_TEXT = ClipText(None, None, None, None)


@dataclass(frozen=True)
class From:
    """A sample, whose row has its speaker in C and its place in the corpus at `root`."""

    root: Path
    sample: Sample
    part: str


def write_shards(
    own: OwnFolder, taken: Sequence[From], config: ShardsConfig, stays: Path | None
) -> list[Sample]:
    """Write them to the folder; rows of the samples. Shards of the corpus at `stays` keep names and
    order, the others are filled anew after them."""
    by_shard: dict[str, list[From]] = defaultdict(list)
    first: dict[str, int] = {}
    rest = []
    for one in taken:
        if one.root == stays:
            by_shard[one.sample.shard].append(one)
            number = 1 + int(one.sample.shard[-10:-4])
            first[one.part] = max(first.get(one.part, 0), number)
        else:
            rest.append(one)
    whose = {one.sample.clip_id: one for one in rest}
    entries = [Entry(_named(o.sample), o.sample.speaker_id, o.part, NO_TEXT) for o in rest]
    sizes = [one.sample.num_bytes for one in rest]
    planned = [
        (name, [whose[e.clip.clip_id] for e in group])
        for name, group in plan_shards(entries, sizes, config, first)
    ]
    old = [
        (name, sorted(by_shard[name], key=lambda o: o.sample.index_in_shard))
        for name in sorted(by_shard)
    ]
    own.about_to_write(n for name, _ in (*old, *planned) for n in (name, index_name(name)))
    rows: list[Sample] = []
    with Steps("merge", len(old) + len(planned), "shards") as steps:
        for name, group in (*old, *planned):
            steps.at(name)
            rows += _write(own, name, group)
            steps.done()
    wanted = {n for r in rows for n in (r.shard, index_name(r.shard))}
    own.remove([n for n in own.files if n.startswith("shards/") and n not in wanted])
    return sorted(rows, key=lambda s: (s.shard, s.index_in_shard))


def _named(sample: Sample) -> Clip:
    """A clip of which only the id is looked at."""
    clip = object.__new__(Clip)
    object.__setattr__(clip, "clip_id", sample.clip_id)
    return clip


def _write(own: OwnFolder, name: str, group: Sequence[From]) -> list[Sample]:
    path, rows = own.root / name, list[Sample]()
    (own.root / index_name(name)).unlink(missing_ok=True)
    whole = group[0].root / group[0].sample.shard
    is_copy = all(o.root / o.sample.shard == whole for o in group) and _is_unchanged(whole, group)
    with atomic_path(path) as temporary:
        if is_copy:
            shutil.copyfile(whole, temporary)
            rows = [replace(o.sample, shard=name) for o in group]
        else:
            with open(temporary, "wb") as stream:
                write_samples(stream, _samples(name, group, rows))
    SampleIndex.scan(path).write()
    own.wrote([name, index_name(name)])
    return rows


def _is_unchanged(shard: Path, group: Sequence[From]) -> bool:
    """Whether a shard holds exactly these samples, with their speakers and parts."""
    index = SampleIndex.scan(shard)
    if index.keys != [o.sample.clip_id for o in group]:
        return False
    return all(
        sample.facts.get("speaker_id") == o.sample.speaker_id
        and sample.facts.get("split") == o.part
        for sample, o in zip(index, group, strict=True)
    )


def _samples(name: str, group: Sequence[From], rows: list[Sample]) -> Iterator[ShardSample]:
    indexes: dict[Path, SampleIndex] = {}
    for number, one in enumerate(group):
        shard = one.root / one.sample.shard
        if shard not in indexes:
            indexes[shard] = SampleIndex.scan(shard)
        made = indexes[shard][one.sample.clip_id]
        facts = {"speaker_id": one.sample.speaker_id, "split": one.part}
        if any(made.facts.get(k) != v for k, v in facts.items()):
            made = made.with_facts(made.facts | facts)
        rows.append(
            replace(
                one.sample,
                split=one.part,
                shard=name,
                index_in_shard=number,
                num_bytes=made.num_bytes,
                sha256=made.sha256(),
            )
        )
        yield made
