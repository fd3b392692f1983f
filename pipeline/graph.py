"""The DAG of every job: which stage feeds which, in one explicit tuple each.

expand -> download -> probe -> shots -> tracks -> identity -> sync -> clips     yld build
                                                  -> scores (-> opinions)
                                                  -> speakers, shards (publish.py)
... -> tracks -> measure                                   yld audit of media files
measure_shard                                              yld audit of shards
correct                                                    yld resync
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests import records as rec
from stages.base import Context, Stage


@dataclass(frozen=True)
class Node:
    """A stage in the graph. `unit` names the field that groups its inputs into one batch."""

    name: str
    target: str
    inputs: type
    outputs: type
    unit: str
    pool: str = "cpu"
    context: tuple[str, ...] = ()
    """Fields of `stages.base.Context` with records of earlier stages; they are part of its key."""
    once_context: tuple[str, ...] = ()
    """What an earlier release gave it too. Work finished under such a key is not done again, and
    names of side files, which stand in the tables, are made as they were."""

    def unit_of(self, record: object) -> str:
        return getattr(record, self.unit)

    def stage(self) -> type[Stage]:
        """Its class, imported."""
        return load_stage(self.target)


def load_stage(target: str) -> type[Stage]:
    """The class named `module:Class`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


MAIN_JOB = (
    Node("expand", "stages.sources.expand:Expand", rec.Request, rec.Source, "request_id", "net"),
    Node(
        "download", "stages.sources.download:Download", rec.Source, rec.Fetched, "source_id", "net"
    ),
    Node("probe", "stages.sources.probe:Probe", rec.Fetched, rec.Video, "video_id"),
    Node("shots", "stages.faces.shots:Shots", rec.Video, rec.Shot, "video_id", context=("hints",)),
    Node(
        "tracks",
        "stages.faces.tracks:Tracks",
        rec.Shot,
        rec.Track,
        "video_id",
        context=("video", "hints"),
    ),
    Node("identity", "stages.faces.identity:Identify", rec.Track, rec.Identity, "video_id"),
    Node(
        "sync",
        "stages.sync.offsets:Sync",
        rec.Identity,
        rec.Offset,
        "video_id",
        context=("video", "tracks"),
    ),
    Node(
        "clips",
        "stages.clips.render:Clips",
        rec.Offset,
        rec.Clip,
        "video_id",
        context=("video", "tracks"),
        once_context=("shots",),
    ),
    # What is measured of clips: each a stage of its own, so that a column which is new is all that
    # a corpus does again.
    Node(
        "scores",
        "stages.clips.scores:MeasureClips",
        rec.Clip,
        rec.Scores,
        "video_id",
        context=("tracks",),
    ),
    Node(
        "opinions",
        "stages.clips.opinions:Opinions",
        rec.Scores,
        rec.Opinion,
        "video_id",
        context=("clips",),
    ),
)
_LAST_OF_TRACKS = max(i for i, node in enumerate(MAIN_JOB) if node.outputs is rec.Track)
AUDIT_JOB = (
    *MAIN_JOB[: _LAST_OF_TRACKS + 1],
    Node(
        "measure",
        "stages.sync.audit:Measure",
        rec.Track,
        rec.Measured,
        "video_id",
        context=("video",),
    ),
)
SHARD_JOB = (
    Node(
        "measure_shard",
        "stages.sync.audit:MeasureShard",
        rec.Request,
        rec.Measured,
        "request_id",
    ),
)
CORRECT_JOB = (
    Node("correct", "stages.sync.correct:Correct", rec.Correction, rec.Correction, "item_id"),
)
JOBS = (MAIN_JOB, AUDIT_JOB, SHARD_JOB, CORRECT_JOB)
NODES = {node.name: node for job in JOBS for node in job}

HINTS = "hints"
"""The name in a node's `context` for what corpora say of its video: no stage puts it out, the run
is given it. A video without hints has none in its keys."""
KEPT = {"video": rec.Video, "tracks": rec.Track, "shots": rec.Shot, "clips": rec.Clip}
"""Name in a node's `context` -> the records kept for it: one where `Context` has one, else by id.
"""


def main_job(config: Any) -> tuple[Node, ...]:
    """`MAIN_JOB` without what the settings (`BuildConfig`) do not ask for."""
    return tuple(n for n in MAIN_JOB if n.name != "opinions" or config.opinions.models)


def context_name(node: Node) -> str | None:
    """The name under which later stages are given what `node` puts out, if they are."""
    return next((name for name, kind in KEPT.items() if kind is node.outputs), None)


def records_in(earlier: Mapping[str, Any]) -> Iterator[Any]:
    """All records that a unit is given by name beside its own."""
    for given in earlier.values():
        if isinstance(given, Mapping):
            yield from given.values()
        else:
            yield from given if isinstance(given, (list, tuple)) else (given,)


def side_folders() -> list[str]:
    """Folders below `work` of what the stages of all jobs write, media included."""
    return sorted({f for node in NODES.values() if (f := node.stage().side_folder)})


def units_of_kind(entries: Mapping[str, Any], kind: type) -> Mapping[str, Any]:
    """The finished units (`pipeline.run.entry.Entry`) of the stage that makes records of `kind`, by
    name: the first one that puts them out, for later ones only choose among them."""
    for node in NODES.values():
        if node.outputs is kind and node.name in entries:
            return entries[node.name]
    return {}


def of_kind(entries: Mapping[str, Any], kind: type) -> Iterator[Any]:
    """`units_of_kind` without their names."""
    yield from units_of_kind(entries, kind).values()


def check_graph(nodes: Sequence[Node]) -> None:
    """Raise ValueError where neighbours do not fit, before any worker starts."""
    for left, right in zip(nodes, nodes[1:], strict=False):
        if left.outputs is not right.inputs:
            raise ValueError(
                f"{left.name} gives {left.outputs.__name__}, "
                f"{right.name} takes {right.inputs.__name__}"
            )
    fields = {f.name for f in dataclasses.fields(Context)}
    for place, node in enumerate(nodes):
        before = {n.outputs for n in nodes[:place]}
        for name in set(node.context) - {HINTS}:
            if name not in fields or KEPT.get(name) not in before:
                raise ValueError(
                    f"{node.name} asks for the context {name!r}, which no earlier "
                    "stage puts out (pipeline.graph.KEPT, stages.base.Context)"
                )
