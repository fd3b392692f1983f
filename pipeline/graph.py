"""The DAG of the main job: which stage feeds which, in one explicit tuple.

    expand -> download -> probe -> shots -> tracks -> identity -> sync -> clips
                                                             -> speakers, shards (publish.py)
"""

from __future__ import annotations

from dataclasses import dataclass

from manifests import records as rec


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
    """Records of earlier stages it also reads; they are part of its key."""

    def unit_of(self, record: object) -> str:
        return getattr(record, self.unit)


MAIN_JOB = (
    Node("expand", "stages.expand:Expand", rec.Request, rec.Source, "request_id", "net"),
    Node("download", "stages.download:Download", rec.Source, rec.Fetched, "source_id", "net"),
    Node("probe", "stages.probe:Probe", rec.Fetched, rec.Video, "video_id"),
    Node("shots", "stages.shots:Shots", rec.Video, rec.Shot, "video_id"),
    Node("tracks", "stages.tracks:Tracks", rec.Shot, rec.Track, "video_id", context=("video",)),
    Node("identity", "stages.identity:Identify", rec.Track, rec.Identity, "video_id"),
    Node("sync", "stages.sync:Sync", rec.Identity, rec.Offset, "video_id",
         context=("video", "tracks")),
    Node("clips", "stages.clips:Clips", rec.Offset, rec.Clip, "video_id",
         context=("video", "tracks", "shots")),
)

SERVICE_OF = {rec.Video: "video", rec.Shot: "shots", rec.Track: "tracks"}
"""Records kept per video for later stages: `video` is one record, others are by id."""


def check_graph(nodes: tuple[Node, ...]) -> None:
    """Raise ValueError where neighbours do not fit, before any worker starts."""
    for left, right in zip(nodes, nodes[1:], strict=False):
        if left.outputs is not right.inputs:
            raise ValueError(
                f"{left.name} gives {left.outputs.__name__}, "
                f"{right.name} takes {right.inputs.__name__}"
            )
