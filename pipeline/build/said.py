"""What corpora say of what was built from them: who speaks, which part, what is said.

Hints stand beside the sources; here they are brought to videos, tracks and clips, once all stages
have run. A track that was chosen by hints has those; any other has what all hints on its video
agree on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.ids import escape, hash_id
from manifests.records import Clip, Hint, Track
from stages.hints import hints_by_source

PLAIN = re.compile(r"[A-Za-z0-9-]{1,40}")


@dataclass(frozen=True)
class Said:
    """By id: speakers of tracks, parts of clips, names of videos as lists of splits call them."""

    speakers: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)

    def print_of(self, clip: Clip) -> str:
        """What makes a published clip another one; empty where nothing is said."""
        speaker, part = self.speakers.get(clip.track_id), self.parts.get(clip.clip_id)
        return f":{speaker or ''}:{part or ''}" if speaker or part else ""


def said_of(tables: Mapping[str, Sequence[Any]]) -> Said:
    """What is said of everything in the tables of a build."""
    if not tables["hints"]:
        return Said()
    by_source = hints_by_source(tables)
    by_video: dict[str, list[Hint]] = defaultdict(list)
    for source in tables["sources"]:
        by_video[source.video_id] += by_source.get(source.source_id, [])
    by_id = {hint.hint_id: hint for hint in tables["hints"]}
    tracks = {track.track_id: track for track in tables["tracks"]}
    speakers, parts = {}, {}
    for identity in tables["identities"]:
        track = tracks.get(identity.track_id)
        hints = (_of_track(track, by_id) if track else []) or by_video[identity.video_id]
        if (name := _agreed([speaker_id(hint) for hint in hints])) is not None:
            speakers[identity.track_id] = name
    for clip in tables["clips"]:
        found = tracks.get(clip.track_id)
        hints = (_of_clip(clip, found, by_id) if found else []) or by_video[clip.video_id]
        if (part := _agreed([hint.split for hint in hints])) is not None:
            parts[clip.clip_id] = part
    names = {video: sorted({h.name for h in hints}) for video, hints in by_video.items() if hints}
    return Said(speakers, parts, names)


def _of_track(track: Track, by_id: Mapping[str, Hint]) -> list[Hint]:
    return [by_id[i] for i in track.hint_ids if i in by_id]


def _of_clip(clip: Clip, track: Track, by_id: Mapping[str, Hint]) -> list[Hint]:
    """The hints in whose spans a clip lies: it was cut inside one."""
    spans = zip(track.hint_ids, track.hint_start_frames, track.hint_end_frames, strict=True)
    return [
        by_id[name]
        for name, start, end in spans
        if name in by_id and start <= clip.start_frame and clip.end_frame <= end
    ]


def _agreed(values: Sequence[str | None]) -> str | None:
    """What all say; None where they differ, or one says nothing."""
    return values[0] if values and len(set(values)) == 1 else None


def speaker_id(hint: Hint) -> str | None:
    """`grid-s1`: the corpus's own name of who speaks, made safe as an id; None without one."""
    if not hint.speaker:
        return None
    own = hint.speaker
    if not PLAIN.fullmatch(own):
        own = escape(own) if len(own) <= 20 else f"{escape(own[:10])}_1{hash_id(own, length=10)}"
    return f"{hint.corpus.replace('_', '-')}-{own}"
